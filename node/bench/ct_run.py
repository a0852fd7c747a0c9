"""A pipeline on one CT in a process of its own: ours, or the package that balaitous was published as."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from node.bench import stand_ins
from node.bench.alone import alone
from node.bench.clock import Clock, timed

PACKAGE = "package"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What to run.

    Attributes
    ----------
    side : str
        A pipeline, or `PACKAGE`.
    paths : tuple of Path
        Of one CT, from feet to head.
    weights : Path
        Filled by `stand_ins.fill`.
    lungs : tuple of 2 int
        Slices of the resampled CT between which lungs are planted.
    precision, device : str
        Of our side; the package computes in float32.
    """

    side: str
    paths: tuple[Path, ...]
    weights: Path
    lungs: tuple[int, int]
    precision: str = "float32"
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run, its networks loaded, and used once, before it began.

    Attributes
    ----------
    wall_s, cpu_s, peak_mb : float
        Of `node.bench.clock.Taken`.
    weights_mb : float
        What the networks' values take of that memory.
    parts : Mapping[str, float]
        Seconds of each part, in its order.
    counts : Mapping[str, int]
        Images that each network saw.
    scores : tuple of float
        Of balaitous: COVID-19 and severity.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    weights_mb: float
    parts: Mapping[str, float]
    counts: Mapping[str, int]
    scores: tuple[float, ...] = ()


class Ready(NamedTuple):
    """A side that is loaded: what is to be timed, and then how large its networks are."""

    work: Callable[[], tuple[float, ...]]
    weights_mb: Callable[[], float]


def run(task: Task) -> Run:
    """Run a task.

    Raises
    ------
    RuntimeError
        If it ended without a result; says why.
    """
    try:
        return alone(_run, task)
    except RuntimeError as error:
        raise RuntimeError(f"{task.side} gave no result: {error}") from error


def _run(task: Task) -> Run:
    # These import torch, which is for the task's own process.
    from node.bench import ct_ours, ct_package
    from node.bench.planted_lungs import PlantedLungs

    stand_ins.accept(task.weights)
    planted, clock = PlantedLungs(*task.lungs), Clock()
    ready = (ct_package if task.side == PACKAGE else ct_ours).load(task, clock)
    planted.begin()
    clock.parts.clear()
    clock.counts.clear()
    scores, taken = timed(ready.work)
    return Run(
        wall_s=taken.wall_s,
        cpu_s=taken.cpu_s,
        peak_mb=taken.peak_mb,
        weights_mb=round(ready.weights_mb(), 1),
        parts={name: round(seconds, 3) for name, seconds in clock.parts.items()},
        counts=clock.counts,
        scores=scores,
    )
