"""How well a network does on images that it has not seen, on their own pixels, as the pipeline uses it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.lung_masks import lung_masks
from inference.networks.lung_fields import LungFieldsNet, probabilities
from training.chest_images import ChestImage


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Twice what both cover, over what they cover together; 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


def judge(network: LungFieldsNet, image: ChestImage) -> dict[str, Any]:
    """Return what is known of an image, and the Dice of either lung on its own pixels."""
    right, left = lung_masks(probabilities(network, image.pixels))
    scores = {"right": dice(right, image.labels == 1), "left": dice(left, image.labels == 2)}
    said = {key: image.about[key] for key in ("id", "patient", "view", "finding")}
    return {**said, **scores, "mean": (scores["right"] + scores["left"]) / 2}


def summary(judged: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise images: both lungs, each, by view, by finding, the worst."""
    worst = min(judged, key=lambda one: one["mean"])
    return {
        "images": len(judged),
        "patients": len({one["patient"] for one in judged}),
        **{side: _mean(one[side] for one in judged) for side in ("mean", "right", "left")},
        "worst_image": {"id": worst["id"], "mean": round(worst["mean"], 4)},
        "by_view": _by(judged, lambda one: one["view"]),
        "by_finding": _by(judged, lambda one: one["finding"]),
    }


def _by(judged: list[dict[str, Any]], key: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    groups = defaultdict(list)
    for one in judged:
        groups[key(one)].append(one["mean"])
    return {name: {"images": len(means), "mean": _mean(means)} for name, means in sorted(groups.items())}


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)
