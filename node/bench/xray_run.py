"""A pipeline of X-rays on a few of them in a process of its own: through our networks, or through naive calls."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from node.bench import stand_ins
from node.bench.alone import alone
from node.bench.clock import Clock, Taken, timed

if TYPE_CHECKING:
    from inference.radiograph import Radiograph
    from inference.weights import Verified

Floats = NDArray[np.float32]

SIDES: Mapping[str, str] = {
    "opacity-ensemble": "node.bench.xray_ensemble",
    "opacity-explain": "node.bench.xray_explain",
    "opacity-boxes": "node.bench.xray_boxes",
}
"""Modules that know the networks of a pipeline: each a `Networks`."""


class Networks(Protocol):
    """What differs from pipeline to pipeline; random weights mark nothing, so that places are planted.

    Attributes
    ----------
    SETTINGS : Mapping[str, float]
        With which all networks are run.
    """

    SETTINGS: Mapping[str, float]

    def begin(self, weights: "Mapping[str, Verified]", *, is_naive: bool, device: str) -> type:
        """Load networks, ours or the naive ones, use each once, and return the class whose methods call them."""

    def listen(self) -> dict[str, Floats]:
        """Have what networks say of the image that they see first from now on written down, by network."""

    def watch(self, networks: type, clock: Clock) -> None:
        """Time every network of that class from now on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What to run.

    Attributes
    ----------
    pipeline : str
        Of `SIDES`.
    is_naive : bool
        Whether through naive calls, which compute in float32.
    paths : tuple of Path
        Of X-rays.
    weights : Path
        Filled by `stand_ins.fill`.
    runs : int
        How often.
    """

    pipeline: str
    is_naive: bool
    paths: tuple[Path, ...]
    weights: Path
    runs: int
    precision: str = "float32"
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """What that took, networks loaded before.

    Attributes
    ----------
    together, single : Taken
        Medians: all images handed over at once; the first of them, which was not run naively.
    parts : Mapping[str, float]
        Seconds of each network with what is done before and after it, all images together, mean of the runs.
    counts : Mapping[str, int]
        Passes of each network.
    sizes : Mapping[str, sequence of tuple of 2 int]
        Rows and columns of what a network saw that takes any.
    said : Mapping[str, ndarray]
        Scores and maps of the first image, by expert.
    """

    together: Taken
    single: Taken | None
    parts: Mapping[str, float]
    counts: Mapping[str, int]
    sizes: Mapping[str, Sequence[tuple[int, int]]]
    said: Mapping[str, Floats]


def run(task: Task) -> Run:
    """Run a task.

    Raises
    ------
    RuntimeError
        If it ended without a result; says why.
    """
    return alone(_run, task)


def _run(task: Task) -> Run:
    # These import torch, which is for the task's own process.
    from inference import compute, radiograph, registry
    from inference.weights import Shelf

    stand_ins.accept(task.weights)
    compute.set_limits(compute.Limits(precision=compute.Precision(task.precision)))
    networks = cast("Networks", import_module(SIDES[task.pipeline]))
    images = [radiograph.load(path) for path in task.paths]
    weights = Shelf(task.weights).require_for(task.pipeline)
    asked = networks.begin(weights, is_naive=task.is_naive, device=task.device)
    said, clock = networks.listen(), Clock()
    pipeline = registry.load_several(task.pipeline, weights=task.weights, settings=networks.SETTINGS)
    alone_too = 0 if task.is_naive else task.runs
    single = [timed(partial(pipeline.together, _unseen(images[:1]), task.device))[1] for _ in range(alone_too)]
    networks.watch(asked, clock)
    together = [timed(partial(pipeline.together, _unseen(images), task.device))[1] for _ in range(task.runs)]
    return Run(
        together=_median(together),
        single=_median(single) if single else None,
        parts={name: round(seconds / task.runs, 3) for name, seconds in clock.parts.items()},
        counts={name: count // task.runs for name, count in clock.counts.items()},
        sizes=clock.sizes,
        said=said,
    )


def _unseen(images: Sequence["Radiograph"]) -> list["Radiograph"]:
    """Return images of which nothing is remembered."""
    return [replace(image) for image in images]


def _median(taken: list[Taken]) -> Taken:
    return Taken(
        wall_s=statistics.median(one.wall_s for one in taken),
        cpu_s=statistics.median(one.cpu_s for one in taken),
        peak_mb=max(one.peak_mb for one in taken),
    )
