"""From the last instance received to the last result stored: how long, and what of it is the node's own time.

The quiet time is waited for on purpose and the pipeline computes; both are shown, neither is counted.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from node.bench.machine import describe
from node.console import console
from node.demo.harness import QUIET_S
from node.demo.observation import observe, stages
from node.demo.run import DemoError
from node.study_files import dicom_files
from phantom.dicom import write_study


@dataclass(frozen=True, kw_only=True, slots=True)
class Turnaround:
    """Seconds by part, for each run and their medians.

    Attributes
    ----------
    own : float
        Median of the node's own time: from last received to last stored, less quiet time and pipeline.
    parts : dict
        Medians: settle (beyond the quiet time), queue, load, build, write, record (what the job took beside), deliver.
    """

    machine: dict[str, str]
    study: str
    instances: int
    runs: list[dict[str, float]]
    own: float
    parts: dict[str, float]
    pipeline: float
    quiet: float


def measure(study: Path | None, *, runs: int) -> Turnaround:
    """Run a study through a fresh node several times.

    Raises
    ------
    DemoError
        If a run lost, failed or refused anything.
    """
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch:
        source = study or Path(scratch) / "phantom"
        if study is None:
            write_study(source)
        paths = dicom_files(source)
        measured = []
        for number in range(runs):
            out = Path(scratch) / f"run{number}"
            out.mkdir()
            observed = observe(paths, out)
            if not (observed.complete and observed.fruitful):
                raise DemoError(
                    f"run {number + 1} lost, failed or refused something; run `opacity-node demo` on the study"
                )
            measured.append(_parts(stages(observed.studies, observed.received)))
    medians = {name: round(statistics.median(run[name] for run in measured), 3) for name in measured[0]}
    pipeline, own = medians.pop("pipeline"), medians.pop("own")
    return Turnaround(
        machine=describe(),
        study=str(study.name) if study else "synthetic chest CT",
        instances=len(paths),
        runs=measured,
        own=own,
        parts=medians,
        pipeline=pipeline,
        quiet=QUIET_S,
    )


def _parts(seconds: dict[str, float]) -> dict[str, float]:
    in_job = {name.removeprefix("job: "): value for name, value in seconds.items() if name.startswith("job: ")}
    parts = {
        "settle": seconds["settle"] - QUIET_S,
        "queue": seconds["queue"],
        "load": in_job["load"],
        "build": in_job["build"],
        "write": in_job["write"],
        "record": seconds["job"] - sum(in_job.values()),
        "deliver": seconds["deliver"],
    }
    parts["own"] = sum(parts.values())
    parts["pipeline"] = in_job["pipeline"]
    return {name: round(value, 3) for name, value in parts.items()}


def show(report: Turnaround) -> None:
    """Print the medians."""
    table = Table("part", "seconds", title=f"{report.study}, {report.instances} instances, {len(report.runs)} runs")
    for name, value in report.parts.items():
        table.add_row(name, f"{value:.2f}")
    table.add_section()
    table.add_row("[bold]the node's own time[/]", f"[bold]{report.own:.2f}[/]")
    table.add_row("pipeline (not counted)", f"{report.pipeline:.2f}")
    table.add_row("quiet time (not counted)", f"{report.quiet:.2f}")
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in report.machine.items()), highlight=False)
