"""A CT pipeline of ours, whole, its functions watched from outside."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inference import compute, lung_regions, registry, resampled_ct, resident, series
from inference.networks.r231 import LungMask
from inference.weights import Shelf, Verified
from node.bench.clock import Clock
from node.bench.ct_run import Ready, Task

_Weights = Mapping[str, Verified]


def load(task: Task, clock: Clock) -> Ready:
    """Load its networks, and watch what it calls."""
    compute.set_limits(compute.Limits(precision=compute.Precision(task.precision)))
    weights = Shelf(task.weights).require(*registry.CARDS[task.side].weights)
    LungMask(weights["lungmask-r231"], device=task.device)(np.zeros((1, 64, 64), np.int16))
    scores = _WATCHED[task.side](task, clock, weights)
    clock.watch(resampled_ct, "resample", lambda *_: "resample")
    clock.watch(LungMask, "__call__", lambda _, volume: clock.count("lung mask", len(volume)))
    clock.watch(lung_regions, "lung_regions", lambda *_: "lungs on the CT's grid")
    pipeline = registry.load(task.side, weights=task.weights)

    def work() -> tuple[float, ...]:
        with clock.part("load"):
            loaded = series.load(task.paths)
        findings = pipeline(loaded, task.device)
        with clock.part("maps"):
            for heatmap in findings.heatmaps:
                heatmap.values.sum()  # they are made when they are looked at
        return tuple(scores)

    return Ready(work=work, weights_mb=lambda: resident.held_mb(task.device))


def _balaitous(task: Task, clock: Clock, weights: _Weights) -> list[float]:
    from inference.balaitous import features, preparation, regressions
    from inference.pipelines import balaitous

    views = {blocks: view for view, blocks in balaitous.BLOCKS.items()}
    for blocks, view in views.items():
        image = np.zeros((2, 3, 224, 224), np.float32)
        features.features(image, weights[f"balaitous-{view}"], blocks=blocks, device=task.device)
    clock.watch(
        features,
        "features",
        lambda images, _, *, blocks, **__: clock.count(f"ViT, {views[blocks]}", 2 * len(images)),  # and its flip
    )
    clock.watch(preparation, "prepare", lambda *_: "prepare")
    scores: list[float] = []

    def caught(*args: Any) -> regressions.Scores:  # noqa: ANN401
        said = regressions.scores(*args)
        scores[:] = [said.covid, said.severe]
        return said

    vars(balaitous)["scores"] = caught
    return scores


def _severity(task: Task, clock: Clock, weights: _Weights) -> list[float]:
    from inference.severity import prepared, reading

    volume = np.zeros((12, 32, 32), np.float32)
    blank = prepared.Prepared(volume=volume, kept=np.arange(12), margin=(0, 0), shape=volume.shape)
    for slot in ("ct-severity-ltc", "ct-severity-i3d"):
        reading.read(blank, weights[slot], device=task.device)
    clock.watch(reading, "read", lambda _, used, **__: clock.count(used.slot.name[-3:].upper(), 1))
    return []


_WATCHED: Mapping[str, Callable[[Task, Clock, _Weights], list[float]]] = {
    "balaitous": _balaitous,
    "ct-severity": _severity,
}
