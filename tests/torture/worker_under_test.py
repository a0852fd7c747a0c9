"""What the worker of the node under test runs: `worker.run` as it is, saying how far it is."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node import worker
from node.worker import JobOutcome, JobSpec
from tests.torture.marks import MARKS, Stage, WorkerMarks
from tests.torture.pauses import pause_around_system_calls


def run(spec: JobSpec, device: str) -> JobOutcome:
    """Run one job."""
    marks = _marks()
    with marks.at(spec.job_id):
        return worker.run(spec, device)


@functools.cache
def _marks() -> WorkerMarks:
    """Instrument this process, at its first job."""
    from dicom_out import build
    from inference import registry, series

    marks = WorkerMarks(Path(os.environ[MARKS]))
    series.load = _reaching(marks, Stage.LOADING, series.load)
    registry.load = _reaching(marks, Stage.COMPUTING, registry.load)
    build.build = _reaching(marks, Stage.BUILDING, build.build)
    worker._write = _reaching(marks, Stage.WRITING, worker._write)
    pause_around_system_calls()
    return marks


def _reaching(marks: WorkerMarks, stage: Stage, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def marked(*arguments: Any, **options: Any) -> Any:
        marks.reach(stage)
        return function(*arguments, **options)

    return marked
