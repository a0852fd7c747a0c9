"""The demo: a study is sent to a node, its results arrive in a PACS, and everything is counted."""

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage
from rich.markup import escape
from rich.table import Table

from db.repository.reports import JobReport, StudyReport
from node.console import as_json, console, findings_table, progress, study_table
from node.demo.harness import NodeDiedError, RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import Sent, dicom_files, send_files
from phantom.dicom import write_study

_DELIVERED = {"sent", "warned", "committed"}
_LIMIT_S = 1200.0
_PICTURES = {SecondaryCaptureImageStorage, MultiFrameTrueColorSecondaryCaptureImageStorage}


class DemoError(Exception):
    """The demo cannot run as asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Observed:
    """What was seen when the node had nothing more to do."""

    sent: Sent
    files: int
    instances: int
    send_seconds: float
    start_seconds: float
    studies: list[StudyReport]
    received: dict[str, float]

    @property
    def jobs(self) -> list[JobReport]:
        return [job for study in self.studies for job in study.jobs]

    @property
    def kept(self) -> int:
        return sum(study.instances for study in self.studies)

    @property
    def delivered(self) -> int:
        return sum(d.state in _DELIVERED and d.sop_instance_uid in self.received for d in self._deliveries)

    @property
    def objects(self) -> int:
        return len(self._deliveries)

    @property
    def complete(self) -> bool:
        """Whether nothing was lost and nothing failed."""
        return (
            self.sent.stored == self.files
            and self.kept == self.instances
            and self.objects > 0
            and self.delivered == self.objects
            and all(job.state == "succeeded" for job in self.jobs)
        )

    @property
    def _deliveries(self) -> list[Any]:
        return [delivery for job in self.jobs for delivery in job.deliveries]


def run_demo(study: Path | None, out: Path) -> bool:
    """Run the demo and print what came out.

    Parameters
    ----------
    study : Path or None
        A folder of DICOM files; None makes a synthetic chest CT.
    out : Path
        Made anew. Takes ``pacs/``, ``key_image*.png``, ``summary.json``, and the node's own ``node/`` and log.

    Returns
    -------
    bool
        Whether nothing was lost and nothing failed.

    Raises
    ------
    DemoError
        If there is nothing to send, or `out` holds something that the demo did not make.
    """
    if study is not None and not study.exists():
        raise DemoError(f"{study}: there is no such folder")
    _make_anew(out)
    with tempfile.TemporaryDirectory(prefix="opacity-node-phantom-") as scratch:
        if study is None:
            console.print("Making a synthetic chest CT …")
            write_study(Path(scratch))
        paths = dicom_files(study or Path(scratch))
        if not paths:
            raise DemoError(f"{study} holds no DICOM file")
        try:
            observed = observe(paths, out)
        except NodeDiedError as error:
            raise DemoError(str(error)) from error
    pictures = _save_pictures(out)
    summary = _summary(observed, study)
    (out / "summary.json").write_text(as_json(summary) + "\n")
    _show(observed, summary, out, pictures)
    return observed.complete


def observe(paths: Sequence[Path], out: Path) -> _Observed:
    """Start node and PACS, send the files, wait until every result is delivered, stop both."""
    instances = len({str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for p in paths})
    with (
        EmbeddedPacs(out / "pacs") as pacs,
        RunningNode(write_config(out, pacs_port=pacs.port)) as node,
        progress() as bar,
    ):
        task = bar.add_task("sending to the node", total=len(paths))
        started = time.monotonic()
        sent = send_files(paths, node.peer, on_sent=lambda: bar.advance(task))
        send_seconds = time.monotonic() - started
        task = bar.add_task("node at work", total=None)
        deadline = time.monotonic() + _LIMIT_S
        while True:
            node.check()
            studies = node.studies()
            bar.update(task, description=_doing(studies, instances))
            if _ended(studies, instances) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        bar.update(task, total=1, completed=1, description="node done")
        return _Observed(
            sent=sent,
            files=len(paths),
            instances=instances,
            send_seconds=send_seconds,
            start_seconds=node.start_seconds,
            studies=studies,
            received=pacs.received,
        )


def _make_anew(out: Path) -> None:
    """Empty an earlier demo's folder; never anybody else's."""
    if out.exists() and any(out.iterdir()):
        if not (out / "node.log").is_file():
            raise DemoError(f"{out} holds something that is not of a demo; choose another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "node.log").touch()


def _ended(studies: list[StudyReport], instances: int) -> bool:
    if sum(study.instances for study in studies) < instances:
        return False
    return all(study.state == "held" or (study.state == "settled" and _delivered(study)) for study in studies)


def _delivered(study: StudyReport) -> bool:
    return all(_job_ended(job) and all(d.state != "pending" for d in job.deliveries) for job in study.jobs)


def _job_ended(job: JobReport) -> bool:
    return job.state in {"succeeded", "refused", "quarantined"} or (job.state == "failed" and job.retry_at is None)


def _doing(studies: list[StudyReport], instances: int) -> str:
    indexed = sum(study.instances for study in studies)
    jobs = [job for study in studies for job in study.jobs]
    if indexed < instances:
        return f"indexing, {indexed} of {instances}"
    if not all(study.state in {"settled", "held"} for study in studies):
        return "waiting until the study is quiet"
    running = [job.pipeline for job in jobs if not _job_ended(job)]
    return f"running {', '.join(running)}" if running else "delivering results"


def _save_pictures(out: Path) -> list[Path]:
    """Save every picture that the PACS got as PNG."""
    pictures: list[Path] = []
    for path in sorted((out / "pacs").glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        if dataset.SOPClassUID in _PICTURES:
            frames = np.atleast_3d(dataset.pixel_array)
            for frame in frames if frames.ndim == 4 else [frames]:
                name = f"key_image{len(pictures) + 1 if pictures else ''}.png"
                Image.fromarray(frame).save(out / name)
                pictures.append(out / name)
    return pictures


def _summary(observed: _Observed, study: Path | None) -> dict[str, Any]:
    return {
        "research_use_only": True,
        "study": str(study) if study else "synthetic chest CT",
        "complete": observed.complete,
        "sent": observed.files,
        "stored": observed.sent.stored,
        "instances": observed.instances,
        "kept": observed.kept,
        "objects": observed.objects,
        "delivered": observed.delivered,
        "send_failures": dict(observed.sent.failures),
        "stages": stages(observed.studies, observed.received)
        | {"start": round(observed.start_seconds, 3), "send": round(observed.send_seconds, 3)},
        "findings": [job.summary | {"stack": job.stack} for job in observed.jobs if job.state == "succeeded"],
        "jobs": [json.loads(as_json(job)) for job in observed.jobs],
        "decisions": [json.loads(as_json(d)) for s in observed.studies for d in s.decisions],
    }


def stages(studies: list[StudyReport], received: dict[str, float]) -> dict[str, float]:
    """Return how long each stage took, in seconds, summed over studies and jobs."""
    seconds: dict[str, float] = {}

    def add(name: str, start: datetime | float | None, end: datetime | float | None) -> None:
        if start is None or end is None:
            return
        first, last = (t.timestamp() if isinstance(t, datetime) else t for t in (start, end))
        seconds[name] = round(seconds.get(name, 0.0) + last - first, 3)

    for study in studies:
        add("receive", study.first_received_at, study.last_received_at)
        add("settle", study.last_received_at, study.settled_at)
        for job in study.jobs:
            add("queue", job.created_at, job.started_at)
            add("job", job.started_at, job.finished_at)
            for name, value in job.timings.items():
                add(f"job: {name}", 0.0, float(value))
            stored = [received[d.sop_instance_uid] for d in job.deliveries if d.sop_instance_uid in received]
            add("deliver", job.finished_at, max(stored, default=None))
    return seconds


def _show(observed: _Observed, summary: dict[str, Any], out: Path, pictures: list[Path]) -> None:
    for study in observed.studies:
        console.print(study_table(study))
    for job in observed.jobs:
        if job.state == "succeeded":
            console.print(findings_table(job.summary))
            for warning in job.summary["warnings"]:
                console.print(f"[yellow]![/] {escape(warning)}")
        else:
            console.print(f"[red]{job.pipeline} {job.state}[/]: {escape(job.message or '')}")
    table = Table("stage", "seconds", title="time")
    for name, seconds in summary["stages"].items():
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)
    for message, number in observed.sent.failures.items():
        console.print(f"[red]{number} × {escape(message)}[/]")
    colour = "green" if observed.complete else "red"
    console.print(
        f"[{colour}]{observed.files} files sent, {observed.kept} of {observed.instances} instances kept, "
        f"{observed.delivered} of {observed.objects} result objects delivered[/]"
    )
    console.print(f"objects: {out / 'pacs'}", highlight=False)
    for picture in pictures:
        console.print(f"picture: {picture}", highlight=False)
    console.print("[bold]Research use only. Not a medical device.[/]")
