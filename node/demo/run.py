"""The demo: a study is sent to a node, its results arrive in a PACS, and everything is counted."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage
from rich.markup import escape
from rich.table import Table

from inference.wording import counted
from node.console import as_json, console, findings_table
from node.demo.harness import NodeDiedError
from node.demo.observation import Observation, observe, stages
from node.study_files import dicom_files
from node.study_screen import show_study
from phantom.dicom import write_study

_PICTURES = {SecondaryCaptureImageStorage, MultiFrameTrueColorSecondaryCaptureImageStorage}


class DemoError(Exception):
    """The demo cannot run as asked."""


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


def _make_anew(out: Path) -> None:
    """Empty an earlier demo's folder; never anybody else's."""
    if out.exists() and any(out.iterdir()):
        if not (out / "node.log").is_file():
            raise DemoError(f"{out} holds something that is not of a demo; choose another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "node.log").touch()


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


def _summary(observed: Observation, study: Path | None) -> dict[str, Any]:
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
        "stages": {"start": round(observed.start_seconds, 3), "send": round(observed.send_seconds, 3)}
        | stages(observed.studies, observed.received),
        "findings": [job.summary | {"stack": job.stack} for job in observed.jobs if job.state == "succeeded"],
        "jobs": [json.loads(as_json(job)) for job in observed.jobs],
        "decisions": [json.loads(as_json(d)) for s in observed.studies for d in s.decisions],
    }


def _show(observed: Observation, summary: dict[str, Any], out: Path, pictures: list[Path]) -> None:
    for study in observed.studies:
        show_study(study)
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
        f"[{colour}]{counted(observed.files, 'file')} sent, {observed.kept} of {observed.instances} instances kept, "
        f"{observed.delivered} of {observed.objects} result objects delivered[/]"
    )
    console.print(f"objects: {out / 'pacs'}", highlight=False)
    for picture in pictures:
        console.print(f"picture: {picture}", highlight=False)
    console.print("[bold]Research use only. Not a medical device.[/]")
