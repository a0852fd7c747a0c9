"""Which truth is of which image, by its names."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.rows import Image
from evaluation.truth.known import Known, Truth, TruthError

_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """Images with their truth.

    Attributes
    ----------
    pairs : tuple of (Image, Truth)
        In the order of the images.
    without : tuple of Image
        Images that the truth does not name.
    unused : tuple of str
        Names in the truth that no image has.
    """

    pairs: tuple[tuple[Image, Truth], ...]
    without: tuple[Image, ...]
    unused: tuple[str, ...]


def match(images: Sequence[Image], known: Known) -> Matched:
    """Find the truth of every image.

    Raises
    ------
    TruthError
        If no image has one, or two have the same.
    """
    pairs, without = [], []
    used: dict[str, Image] = {}
    for image in images:
        name = next((name for name in image.names if name in known.of), None)
        if name is None:
            without.append(image)
        elif name in used:
            paths = f"{used[name].paths[0]} and {image.paths[0]}"
            raise TruthError(f"{known.place}: {name} may mean {paths}; name the truth by SOP or Series Instance UID")
        else:
            used[name] = image
            pairs.append((image, known.of[name]))
    if not pairs:
        raise TruthError(_nothing(images, known))
    return Matched(pairs=tuple(pairs), without=tuple(without), unused=tuple(sorted(set(known.of) - set(used))))


def _nothing(images: Sequence[Image], known: Known) -> str:
    has = ", ".join(list(known.of)[:_SHOWN])
    if not images:
        return f"There is no image that the pipeline could read, for the {len(known.of)} in {known.place}."
    wanted = " or ".join(images[0].names)
    return f"{known.place} names no image: it has {has}, ...; the first image is {wanted}. Name the truth so."
