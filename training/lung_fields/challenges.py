"""What a network is to withstand, and what is no frontal chest X-ray: made from images and from nothing, by seed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision's own examples name it

from inference import series
from training.lung_fields.chest_images import ChestImage

Pixels = NDArray[np.float32]
_SIDE = 512
_KINDS_EACH = 5


def hardships(image: ChestImage) -> Iterator[tuple[str, ChestImage]]:
    """Yield an image as worse technique would have made it, with its lungs."""
    for degrees in (-10.0, 10.0):
        yield f"tilted by {degrees:+.0f} degrees", _tilted(image, degrees)
    yield "shifted by 10 %", _shifted(image)
    yield (
        "a tenth of the contrast, 8 bit",
        replace(image, pixels=np.round(image.pixels * 25.5 + 100).astype(np.float32) / np.float32(255)),
    )
    yield "black borders of 15 %", _collimated(image)
    yield "mirrored", replace(image, pixels=image.pixels[:, ::-1], labels=np.choose(image.labels, (0, 2, 1))[:, ::-1])


def spoilt(image: ChestImage) -> Iterator[tuple[str, Pixels]]:
    """Yield an image that does not stand upright, or whose bright and dark are exchanged."""
    yield "negative", 1.0 - image.pixels
    for turns, name in ((1, "on its left side"), (2, "upside down"), (3, "on its right side")):
        yield name, np.ascontiguousarray(np.rot90(image.pixels, turns))


def nothing(seed: int) -> Iterator[tuple[str, Pixels]]:
    """Yield images of no body."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : 1 : _SIDE * 1j, 0 : 1 : _SIDE * 1j].astype(np.float32)
    for _ in range(_KINDS_EACH):
        yield "uniform", np.full((_SIDE, _SIDE), random.random(), dtype=np.float32)
        yield "noise", random.random((_SIDE, _SIDE), dtype=np.float32)
        clouds = ndimage.gaussian_filter(random.standard_normal((_SIDE, _SIDE)), random.uniform(8, 60))
        yield "clouds", clouds.astype(np.float32)
        angle = random.uniform(0, np.pi)
        yield "gradient", (np.cos(angle) * rows + np.sin(angle) * columns).astype(np.float32)
        yield "disk", (np.hypot(rows - 0.5, columns - 0.5) < random.uniform(0.2, 0.5)).astype(np.float32)
        yield "limb", _limb(rows, columns, random)


def from_ct(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """Yield what a CT shows where it is taken for an X-ray: slices, and sums along rays from the side and the front.

    The sum from the front is the only one that should pass.
    """
    ct = series.load(sorted(folder.glob("*.dcm")))
    hounsfield = ct.pixel_array.astype(np.float32)
    density = np.clip(hounsfield + 1000.0, 0.0, 2000.0)[::-1]  # the head above
    aspect = ct.geometry.spacing_mm[0] / ct.geometry.spacing_mm[2]
    windowed = np.clip((hounsfield[::-1] + 1350.0) / 1500.0, 0.0, 1.0)
    for share in (0.2, 0.35, 0.5, 0.65, 0.8):
        yield "CT, axial slice", windowed[int(share * len(windowed))]
        yield "CT, coronal slice", _scaled(windowed[:, int(share * windowed.shape[1])], aspect)
        yield "CT, sagittal slice", _scaled(windowed[:, :, int(share * windowed.shape[2])], aspect)
    yield "CT, sum from the side", _scaled(density.sum(axis=2), aspect)
    yield "CT, sum from above", density.sum(axis=0)
    yield "CT, sum from the front", _scaled(density.sum(axis=1), aspect)


def _tilted(image: ChestImage, degrees: float) -> ChestImage:
    pixels = F.rotate_image(torch.from_numpy(image.pixels)[None], degrees, InterpolationMode.BILINEAR)
    labels = F.rotate_mask(torch.from_numpy(image.labels)[None], degrees)
    return replace(image, pixels=pixels[0].numpy(), labels=labels[0].numpy())


def _shifted(image: ChestImage) -> ChestImage:
    shift = [size // 10 for size in image.labels.shape]
    return replace(
        image,
        pixels=ndimage.shift(image.pixels, shift, order=0),
        labels=ndimage.shift(image.labels, shift, order=0),
    )


def _collimated(image: ChestImage) -> ChestImage:
    around = tuple((round(0.15 * size),) * 2 for size in image.labels.shape)
    return replace(image, pixels=np.pad(image.pixels, around), labels=np.pad(image.labels, around))


def _limb(rows: Pixels, columns: Pixels, random: np.random.Generator) -> Pixels:
    """Two bones within flesh, upright, as on a knee or a forearm."""
    across = np.abs(columns - 0.5 + random.uniform(-0.2, 0.2) * (rows - 0.5))
    flesh = np.clip(1.0 - (across / random.uniform(0.25, 0.45)) ** 2, 0.0, None)
    bones = np.exp(-(((across - random.uniform(0.0, 0.12)) / 0.05) ** 2))
    return (flesh + bones * random.uniform(0.5, 1.5)).astype(np.float32)


def _scaled(plane: Pixels, aspect: float) -> Pixels:
    scaled: Pixels = ndimage.zoom(plane, (aspect, 1.0), order=1)
    return scaled
