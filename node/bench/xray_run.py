"""The opacity ensemble on a few X-rays in a process of its own: through our networks, or through naive calls."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from node.bench import stand_ins
from node.bench.alone import alone
from node.bench.clock import Clock, Taken, timed

if TYPE_CHECKING:
    from inference.opacity_ensemble.crops import Crops
    from inference.radiograph import Radiograph

PIPELINE = "opacity-ensemble"
MIRRORED = 4
"""Passes of an nnU-Net for each patch."""
CROPS = ((0.45, 0.75, 0.12, 0.42), (0.45, 0.75, 0.58, 0.88))
"""First and last row and column of what is refined, as shares of the image: networks of random weights mark nothing."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What to run.

    Attributes
    ----------
    is_naive : bool
        Whether through `node.bench.xray_naive`, which computes in float32.
    paths : tuple of Path
        Of X-rays.
    weights : Path
        Filled by `stand_ins.fill`.
    runs : int
        How often.
    """

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
    said : Mapping[str, ndarray]
        Scores and maps of the first image, by expert.
    """

    together: Taken
    single: Taken | None
    parts: Mapping[str, float]
    counts: Mapping[str, int]
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
    from inference.opacity_ensemble import ensemble, experts
    from inference.weights import Shelf

    stand_ins.accept(task.weights)
    compute.set_limits(compute.Limits(precision=compute.Precision(task.precision)))
    weights = Shelf(task.weights).require_for(PIPELINE)
    if task.is_naive:
        from node.bench.xray_naive import Naive

        naive = Naive(weights, task.device)
        vars(experts)["Networks"] = lambda *_: naive
    networks = experts.Networks(weights, task.device)
    vars(ensemble)["crops"] = _crops
    said, clock = _listen(ensemble), Clock()
    pipeline = registry.load_several(PIPELINE, weights=task.weights, settings={"threshold": 0.0})
    images = [radiograph.load(path) for path in task.paths]
    _use_once(networks, images[0], is_naive=task.is_naive)
    alone_too = 0 if task.is_naive else task.runs
    single = [timed(partial(pipeline.together, _unseen(images[:1]), task.device))[1] for _ in range(alone_too)]
    _watch(type(networks), clock)
    together = [timed(partial(pipeline.together, _unseen(images), task.device))[1] for _ in range(task.runs)]
    return Run(
        together=_median(together),
        single=_median(single) if single else None,
        parts={name: round(seconds / task.runs, 3) for name, seconds in clock.parts.items()},
        counts={name: count // task.runs for name, count in clock.counts.items()},
        said=said,
    )


def _unseen(images: Sequence["Radiograph"]) -> list["Radiograph"]:
    """Return images of which nothing is remembered."""
    return [replace(image) for image in images]


def _use_once(networks: Any, shown: "Radiograph", *, is_naive: bool) -> None:  # noqa: ANN401 - ours, or the naive ones
    from inference.opacity_ensemble.ensemble import CONVNEXT, NNUNET_336, NNUNET_768

    image = np.linspace(0, 1, 1 << 16, dtype=np.float32).reshape(256, 256)
    networks.classify([image])
    networks.lungs([image])
    networks.frontal(replace(shown))
    networks.segment(CONVNEXT, [image])
    if not is_naive:  # they are loaded when they are first asked; of nothing they are not run
        nothing = [np.zeros_like(image)]
        networks.segment(NNUNET_336, nothing)
        networks.segment(NNUNET_768, nothing)
        networks.refine(nothing)


def _crops(union: NDArray[np.bool_]) -> "Crops":
    from inference.opacity_ensemble.crops import Crops

    rows, columns = union.shape
    return Crops(
        places=tuple(
            (slice(int(top * rows), int(bottom * rows)), slice(int(left * columns), int(right * columns)))
            for top, bottom, left, right in CROPS
        )
    )


def _listen(ensemble: ModuleType) -> dict[str, Floats]:
    """Have what the experts say of the image that was looked at first written down."""
    said: dict[str, Floats] = {}
    look: Callable[..., list[Any]] = ensemble.look

    def heard(*args: Any) -> list[Any]:  # noqa: ANN401
        seen = look(*args)
        if not said:
            first = seen[0]
            said.update(first.maps)
            said["DenseNet-121"] = np.array(list(first.findings.values()), dtype=np.float32)
        return seen

    vars(ensemble)["look"] = heard
    return said


def _watch(networks: type, clock: Clock) -> None:
    clock.watch(networks, "classify", lambda _, images: clock.count("DenseNet-121", len(images)))
    clock.watch(networks, "segment", lambda _, name, images: clock.count(name, len(images) * _passes(name)))
    clock.watch(networks, "refine", lambda _, crops: clock.count("refinement", len(crops) * MIRRORED))
    clock.watch(networks, "lungs", lambda _, images: clock.count("PSPNet", len(images)))
    clock.watch(networks, "frontal", lambda *_: "lung-fields")


def _passes(name: str) -> int:
    return MIRRORED if name.startswith("nnU-Net") else 1


def _median(taken: list[Taken]) -> Taken:
    return Taken(
        wall_s=statistics.median(one.wall_s for one in taken),
        cpu_s=statistics.median(one.cpu_s for one in taken),
        peak_mb=max(one.peak_mb for one in taken),
    )
