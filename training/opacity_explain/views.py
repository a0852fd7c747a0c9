"""What the networks are shown while they learn: views as the pipeline cuts them, and the truth on the same pixels."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision's own examples name it

from inference.opacity_explain.decisions import SIDES, Side
from inference.opacity_explain.views import lung_box, lung_view, whole_view
from inference.resized import resized
from training.augmentation import augmented
from training.images.labelled import LabelledImage, Mask, Read

Floats = NDArray[np.float32]
_HALF = 0.5
_MAP_REDUCTION = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Xray:
    """An image with its lungs.

    Attributes
    ----------
    image : LabelledImage
        With what is known of its opacity.
    lungs : tuple of Path
        PNGs of the right and the left lung, on the pixels as they are stored; empty where no part needs them.
    """

    image: LabelledImage
    lungs: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Of the image."""
        return self.image.name

    @property
    def patient(self) -> str:
        """Whose other images must be in the same fold."""
        return self.image.patient

    @property
    def digest(self) -> str:
        """Of all that is known of it."""
        drawn = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in self.lungs)
        return hashlib.sha256(self.image.digest.encode() + drawn).hexdigest()

    def read(self, degrees: float) -> Read:
        """Read it with its lungs, turned at random by up to so many degrees."""
        read = self.image.read(*self.lungs)
        return _turned(read, (2 * float(torch.rand(())) - 1) * degrees) if degrees else read


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen:
    """A view with its truth.

    Attributes
    ----------
    view : ndarray of float32, shape (rows, columns)
        In [-1, 1].
    opacity : ndarray of float32, shape (rows / 2, columns / 2)
        Share of opacity in lung, on the grid of a map.
    extent : float
        Share of the lungs, or of one of them, that is opacity.
    """

    view: Floats
    opacity: Floats
    extent: float


def whole(read: Read) -> Seen:
    """Show the whole image."""
    view = whole_view(read.pixels)
    inside = np.logical_or.reduce(read.others) if read.others else np.ones_like(read.opacity)
    return _seen(view, read.opacity & inside, inside)


def varied_more(seen: Seen) -> Seen:
    """Change a view of the whole image further: moved, lit, covered, mirrored: "more data augmentation"."""
    image = torch.from_numpy((seen.view + np.float32(1)) / np.float32(2))[None]
    truth = torch.from_numpy((resized(seen.opacity, seen.view.shape) >= _HALF).astype(np.uint8))[None]
    if torch.rand(()) < _HALF:
        image, truth = image.flip(-1), truth.flip(-1)
    image, truth = augmented(image, truth, flipped=0.0, turned=0.0)
    view = image[0].numpy() * np.float32(2) - np.float32(1)
    return replace(seen, view=view, opacity=resized(truth[0].numpy().astype(np.float32), seen.opacity.shape))


def of_lung(read: Read, side: Side) -> Seen | None:
    """Show one lung; None where it is not in the image."""
    lung = read.others[SIDES.index(side)]
    if not lung.any():
        return None
    box = lung_box(lung)
    return _seen(lung_view(read.pixels, box), (read.opacity & lung)[box], lung[box])


def _seen(view: Floats, opacity: Mask, lung: Mask) -> Seen:
    size = [length // _MAP_REDUCTION for length in view.shape]
    return Seen(
        view=view,
        opacity=resized(opacity.astype(np.float32), size),
        extent=float(opacity.sum() / max(int(lung.sum()), 1)),
    )


def _turned(read: Read, degrees: float) -> Read:
    """Turn an image, black beyond its edges, and its masks."""
    masks = np.stack([read.opacity, *read.others])
    pixels = F.rotate_image(torch.from_numpy(read.pixels)[None], degrees, InterpolationMode.BILINEAR)[0].numpy()
    turned = F.rotate_mask(torch.from_numpy(masks.astype(np.uint8)), degrees).numpy().astype(bool)
    return replace(read, pixels=pixels, opacity=turned[0], others=tuple(turned[1:]))
