"""The decisions, on upright images: opacity or not, how far in each lung, and where.

No network is asked for what the decisions before make needless. Several images go through each network together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.opacity_explain.decisions import SIDES, Branch, Explained, Lung, Score, Side
from inference.opacity_explain.maps import MARKED_FROM, blended, limited, over_estimated
from inference.opacity_explain.options import Options
from inference.opacity_explain.views import Box, lung_box, lung_view, lungs_of, whole_view
from inference.resized import resized

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Seen = TypeVar("Seen")


class Networks(Protocol[Seen]):
    """What is asked. `Seen` is what is kept of an image between its score and its map."""

    def classify(self, views: Sequence[Floats], /) -> Sequence[tuple[dict[str, float], Seen]]:
        """Return the probability of opacity on whole images, by network."""

    def outline(self, views: Sequence[Floats], /) -> Sequence[Floats]:
        """Return probabilities of right and left lung on whole images, shape (2, rows, columns)."""

    def measure(self, side: Side, views: Sequence[Floats], /) -> Sequence[tuple[dict[str, float], Seen]]:
        """Return the extent of opacity in lungs of one side, by network."""

    def map(self, side: Side | None, seen: Sequence[Seen], /) -> Sequence[Floats]:
        """Return the probability of opacity on a grid over what was seen: lungs of one side, or whole images."""


@dataclass(slots=True, eq=False)
class _Half(Generic[Seen]):
    """One lung on its way through the cascade; `box` is None where it was not found."""

    side: Side
    mask: Mask
    box: Box | None
    extent: Score | None = None
    seen: Seen | None = None
    values: Floats | None = None

    @property
    def branch(self) -> Branch:
        if self.box is None:
            return Branch.NOT_FOUND
        if self.extent is None:
            return Branch.NONE
        return Branch.WHOLE if self.extent.is_reached else Branch.MAPPED


@dataclass(slots=True, eq=False)
class _Image(Generic[Seen]):
    """One image on its way through the cascade."""

    pixels: Floats
    opacity: Score
    seen: Seen
    halves: tuple[_Half[Seen], ...]
    values: Floats | None = None


def explain(images: Sequence[Floats], networks: Networks[Seen], options: Options) -> list[Explained]:
    """Decide, and map.

    Parameters
    ----------
    images : sequence of ndarray of float32, shape (rows, columns)
        Upright, the patient's right at the left, in [0, 1], bright is dense; of any sizes.
    networks : Networks
        What is asked.
    options : Options
        Thresholds, and how maps are made.
    """
    if not images:
        return []
    asked = _classified(images, networks, options)
    probable = [image for image in asked if image.opacity.is_reached]
    for index, side in enumerate(SIDES):
        found = [(image, image.halves[index]) for image in probable if image.halves[index].box is not None]
        _measure(found, side, networks, options)
    for index, side in enumerate(SIDES):
        _map_lungs([image.halves[index] for image in probable], side, networks)
    _map_whole([image for image in probable if any(half.values is not None for half in image.halves)], networks)
    return [_explained(image, options) for image in asked]


def _classified(images: Sequence[Floats], networks: Networks[Seen], options: Options) -> list[_Image[Seen]]:
    views = [whole_view(image) for image in images]
    said, outlines = networks.classify(views), networks.outline(views)
    return [
        _Image(
            pixels=image,
            opacity=Score(each=scores, threshold=options.threshold),
            seen=seen,
            halves=tuple(
                _Half(side=side, mask=mask, box=lung_box(mask) if mask.any() else None)
                for side, mask in zip(SIDES, lungs_of(likely, image.shape), strict=True)
            ),
        )
        for image, (scores, seen), likely in zip(images, said, outlines, strict=True)
    ]


def _measure(
    found: Sequence[tuple[_Image[Seen], _Half[Seen]]], side: Side, networks: Networks[Seen], options: Options
) -> None:
    views = [lung_view(image.pixels, half.box) for image, half in found if half.box is not None]
    for (_, half), (scores, seen) in zip(found, networks.measure(side, views) if views else (), strict=True):
        half.extent, half.seen = Score(each=scores, threshold=options.extent_threshold), seen


def _map_lungs(halves: Sequence[_Half[Seen]], side: Side, networks: Networks[Seen]) -> None:
    wanted = [half for half in halves if half.branch is Branch.MAPPED]
    seen = [half.seen for half in wanted if half.seen is not None]
    for half, values in zip(wanted, networks.map(side, seen) if seen else (), strict=True):
        half.values = values


def _map_whole(images: Sequence[_Image[Seen]], networks: Networks[Seen]) -> None:
    seen = [image.seen for image in images]
    for image, values in zip(images, networks.map(None, seen) if seen else (), strict=True):
        image.values = resized(values, image.pixels.shape)


def _explained(image: _Image[Seen], options: Options) -> Explained:
    extents = [half.extent.mean for half in image.halves if half.extent]
    is_far = bool(extents) and sum(extents) / len(extents) >= options.over_estimation_from
    reach = options.over_estimation[is_far]
    values = np.zeros(image.pixels.shape, dtype=np.float32)
    lungs = []
    for half in image.halves:
        marked = np.zeros_like(half.mask)
        if half.box is not None and half.extent is not None:
            inside = half.mask[half.box]
            own = np.where(inside, _own_map(image, half, half.box, options), np.float32(0.0))
            marked[half.box] = own >= MARKED_FROM
            values[half.box][inside] = over_estimated(own, reach, values.shape)[inside]
        lungs.append(Lung(side=half.side, mask=half.mask, branch=half.branch, extent=half.extent, marked=marked))
    either = lungs[0].mask | lungs[1].mask
    return Explained(opacity=image.opacity, lungs=(lungs[0], lungs[1]), values=limited(values, either), reach=reach)


def _own_map(image: _Image[Seen], half: _Half[Seen], box: Box, options: Options) -> Floats:
    """Return the probability of opacity in the box of a lung."""
    if image.values is None or half.values is None:
        return np.ones((box[0].stop - box[0].start, box[1].stop - box[1].start), dtype=np.float32)
    return blended(image.values, half.values, box, options.lung_map_weight)
