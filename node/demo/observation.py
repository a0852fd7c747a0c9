"""A study through a running node, watched: what was sent, kept and delivered, and how long each stage took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pydicom

from db.repository.reports import DeliveryReport, JobReport, StudyReport
from node.console import progress
from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import Sent, send_files

_DELIVERED = {"sent", "warned", "committed"}
_LIMIT_S = 1200.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What was seen when the node had nothing more to do."""

    sent: Sent
    files: int
    instances: int
    send_seconds: float
    start_seconds: float
    studies: list[StudyReport]
    received: dict[str, float]
    repeated: list[list[Path]] = field(default_factory=list)
    """Files that share a SOP Instance UID."""

    @property
    def jobs(self) -> list[JobReport]:
        """Every job of every study, in the order in which they were made."""
        return sorted((job for study in self.studies for job in study.jobs), key=lambda job: job.id)

    @property
    def kept(self) -> int:
        """Instances that the node holds."""
        return sum(study.instances for study in self.studies)

    @property
    def delivered(self) -> int:
        """Result objects that the PACS has."""
        return sum(d.state in _DELIVERED and d.sop_instance_uid in self.received for d in self._deliveries)

    @property
    def objects(self) -> int:
        """Result objects that were to be delivered."""
        return len(self._deliveries)

    @property
    def complete(self) -> bool:
        """Whether nothing was lost and nothing failed; what was refused, held or not run has its reason."""
        return (
            self.sent.stored == self.files
            and self.kept == self.instances
            and self.delivered == self.objects
            and all(study.state in {"settled", "held"} for study in self.studies)
            and all(job.state in {"succeeded", "refused"} for job in self.jobs)
        )

    @property
    def fruitful(self) -> bool:
        """Whether every study brought a result, and nothing was refused."""
        return all(study.jobs and all(job.state == "succeeded" for job in study.jobs) for study in self.studies)

    @property
    def _deliveries(self) -> list[DeliveryReport]:
        return [delivery for job in self.jobs for delivery in job.deliveries]


def observe(paths: Sequence[Path], out: Path) -> Observation:
    """Start node and PACS, send the files, wait until every result is delivered, stop both."""
    by_instance = _by_instance(paths)
    instances = len(by_instance)
    with (
        EmbeddedPacs(out / "pacs") as pacs,
        RunningNode(write_config(out, pacs_port=pacs.port)) as node,
        progress() as bar,
    ):
        task = bar.add_task("sending to the node", total=len(paths))

        def on_sent() -> None:
            bar.advance(task)
            node.check()

        started = time.monotonic()
        sent = send_files(paths, node.peer, on_sent=on_sent)
        send_seconds = time.monotonic() - started
        task = bar.add_task("node at work", total=None)
        deadline = time.monotonic() + _LIMIT_S
        while True:
            node.check()
            studies = node.studies()
            bar.update(task, description=_doing(studies, instances))
            if _ended(studies, instances) or time.monotonic() > deadline:
                break
            time.sleep(0.2)  # another process is watched through its database, which tells nobody of a change
        bar.update(task, total=1, completed=1, description="node done")
        return Observation(
            sent=sent,
            files=len(paths),
            instances=instances,
            send_seconds=send_seconds,
            start_seconds=node.start_seconds,
            studies=sorted(studies, key=lambda study: study.first_received_at),
            received=pacs.received,
            repeated=[same for same in by_instance.values() if len(same) > 1],
        )


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


def _by_instance(paths: Sequence[Path]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for path in paths:
        dataset = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"])
        files.setdefault(str(dataset.get("SOPInstanceUID", path)), []).append(path)
    return files


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
        return f"waiting until {'the study is' if len(studies) == 1 else 'studies are'} quiet"
    running = [job.pipeline for job in jobs if not _job_ended(job)]
    return f"running {', '.join(running)}" if running else "delivering results"
