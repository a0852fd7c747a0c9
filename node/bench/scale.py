"""What a growing archive costs: the same new study through the same code, on a small database and on a large one."""

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from node.bench.archive import Archive, Reading
from node.bench.machine import describe
from node.console import console

_GOAL_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one thing the node does takes, on the small and on the large database.

    Attributes
    ----------
    small_s, large_s : float
        Median seconds.
    growth : float
        How much longer it takes on the large one.
    small_steps, large_steps : int
        Median steps of SQLite's virtual machine, in this process: they do not depend on what else the machine does.
    """

    small_s: float
    large_s: float
    growth: float
    small_steps: int
    large_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Figures of one run; `costs` by what the node does."""

    machine: dict[str, str]
    small_studies: int
    large_studies: int
    instances_per_study: int
    runs: int
    database_mb: float
    goal_s: float
    costs: dict[str, Cost]


def measure(*, studies: int, instances: int, runs: int) -> Scale:
    """Measure on a database of so many studies, and on one of a tenth of them, in turn.

    Parameters
    ----------
    studies, instances : int
        Of the large database: studies, and instances in each.
    runs : int
        New studies sent through each database.
    """
    few = max(1, studies // 10)
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch, ExitStack() as open_archives:
        small, large = (
            open_archives.enter_context(closing(Archive(Path(scratch) / name, studies=count, instances=instances)))
            for name, count in (("small", few), ("large", studies))
        )
        for archive in (small, large):
            archive.run(-1)  # what is done for the first time takes longer
            archive.readings.clear()
        for number in range(runs):
            for archive in (small, large):
                archive.run(number)
                archive.run_processes()
        database_mb = large.storage.database.stat().st_size / 1e6
    return Scale(
        machine=describe(),
        small_studies=few,
        large_studies=studies,
        instances_per_study=instances,
        runs=runs,
        database_mb=round(database_mb, 1),
        goal_s=_GOAL_S,
        costs={name: _cost(small.readings[name], readings) for name, readings in large.readings.items()},
    )


def _cost(small: Sequence[Reading], large: Sequence[Reading]) -> Cost:
    small_s, large_s = (statistics.median(r.seconds for r in readings) for readings in (small, large))
    return Cost(
        small_s=round(small_s, 4),
        large_s=round(large_s, 4),
        growth=round(large_s / small_s, 2),
        small_steps=int(statistics.median(r.steps for r in small)),
        large_steps=int(statistics.median(r.steps for r in large)),
    )


def show(report: Scale) -> None:
    """Print what each thing costs and how it grows."""
    title = f"{report.large_studies} studies of {report.instances_per_study} instances, {report.database_mb:.0f} MB"
    table = Table("", f"s, {report.small_studies} studies", f"s, {report.large_studies} studies", "growth", title=title)
    table.add_column("growth of SQLite's steps")
    for name, cost in report.costs.items():
        steps = f"{cost.large_steps / cost.small_steps:.2f}" if cost.small_steps else ""
        table.add_row(name, f"{cost.small_s:.3f}", f"{cost.large_s:.3f}", f"{cost.growth:.2f}", steps)
    console.print(table)
