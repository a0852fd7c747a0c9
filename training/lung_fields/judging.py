"""How well a network does on images that it has not seen, on their own pixels, as the pipeline uses it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.frontal import LEAST, frontal_check
from inference.lung_masks import lung_masks
from inference.lung_probabilities import probabilities
from inference.networks.lung_fields import LungFieldsNet
from training.lung_fields import challenges
from training.lung_fields.chest_images import ChestImage

Judged = dict[str, Any]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Twice what both cover, over what they cover together; 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


def judge(network: LungFieldsNet, image: ChestImage) -> Judged:
    """Return what is known of an image, the Dice of either lung on its own pixels, and the same under hardships."""
    said = {key: image.about[key] for key in ("id", "patient", "view", "finding")}
    hardships = {name: _measured(network, harder) for name, harder in challenges.hardships(image)}
    return {**said, **_measured(network, image), "hardships": hardships}


def judge_spoilt(network: LungFieldsNet, image: ChestImage) -> list[Judged]:
    """Return whether an image still passes for a frontal one when it is turned, or its greys are."""
    return [{"kind": name, "frontal": _check(network, pixels)} for name, pixels in challenges.spoilt(image)]


def judge_no_chests(network: LungFieldsNet, *, seed: int, ct: Path | None) -> list[Judged]:
    """Return whether images without a body, and the planes of a CT, pass for frontal chest X-rays."""
    images = [*challenges.nothing(seed), *(challenges.from_ct(ct) if ct else ())]
    return [{"kind": name, "frontal": _check(network, pixels)} for name, pixels in images]


def summary(judged: list[Judged]) -> dict[str, Any]:
    """Summarise images: both lungs, each, by view, by finding, the worst."""
    worst = min(judged, key=lambda one: float(one["mean"]))
    return {
        "images": len(judged),
        "patients": len({one["patient"] for one in judged}),
        **{side: _mean(one[side] for one in judged) for side in ("mean", "right", "left")},
        "worst_image": {"id": worst["id"], "mean": worst["mean"]},
        "by_view": _by(judged, lambda one: str(one["view"])),
        "by_finding": _by(judged, lambda one: str(one["finding"])),
    }


def withstood(judged: list[Judged]) -> dict[str, Any]:
    """Say how the Dice stands up to each hardship, and how many images are then refused."""
    names = judged[0]["hardships"]
    each = {name: [one["hardships"][name] for one in judged] for name in names}
    return {
        name: {
            "mean": _mean(one["mean"] for one in those),
            "worst": min(one["mean"] for one in those),
            "refused": sum(bool(one["frontal"]["doubts"]) for one in those),
            "images": len(those),
        }
        for name, those in each.items()
    }


def refusals(frontal: list[Judged], others: list[Judged]) -> dict[str, Any]:
    """Count false refusals among frontal images and false acceptances of each other kind."""
    kinds = defaultdict(list)
    for one in others:
        kinds[one["kind"]].append(not one["frontal"]["doubts"])
    return {
        "least": dict(LEAST),
        "least_of_unseen_frontal_images": {name: min(one["frontal"][name] for one in frontal) for name in LEAST},
        "frontal_images": len(frontal),
        "frontal_images_refused": sum(bool(one["frontal"]["doubts"]) for one in frontal),
        "accepted_by_kind": {
            kind: {"accepted": sum(passed), "images": len(passed)} for kind, passed in sorted(kinds.items())
        },
    }


def _measured(network: LungFieldsNet, image: ChestImage) -> Judged:
    found = probabilities(network, image.pixels)
    masks = lung_masks(found)
    right, left = (dice(mask, image.labels == label) for mask, label in zip(masks, (1, 2), strict=True))
    scores = {"mean": round((right + left) / 2, 4), "right": round(right, 4), "left": round(left, 4)}
    return {**scores, "frontal": _rounded(asdict(frontal_check(found, masks)))}


def _check(network: LungFieldsNet, pixels: NDArray[np.float32]) -> Judged:
    found = probabilities(network, pixels)
    return _rounded(asdict(frontal_check(found, lung_masks(found))))


def _rounded(numbers: dict[str, Any]) -> Judged:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in numbers.items()}


def _by(judged: list[Judged], key: Callable[[Judged], str]) -> dict[str, Any]:
    groups = defaultdict(list)
    for one in judged:
        groups[key(one)].append(one["mean"])
    return {name: {"images": len(means), "mean": _mean(means)} for name, means in sorted(groups.items())}


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)
