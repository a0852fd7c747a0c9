"""Annotated images -> a data set in the form in which nnU-Net's own commands take it.

The images are brought to the size, and into the 8 bits, in which `inference.networks.nnunet` will show them to the
network; for the refinement they are cut as `inference.opacity_ensemble.crops` cuts them.

References
----------
nnU-Net, documentation/dataset_format.md.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from inference.networks.nnunet import as_picture
from inference.opacity_ensemble.crops import crops
from inference.resized import resized
from training.opacity_ensemble.images import OpacityImage

_ENDING = ".png"


def write(folder: Path, images: Iterable[OpacityImage]) -> int:
    """Write a data set in place of one that is there; return how many images it has.

    Parameters
    ----------
    folder : Path
        Such as ``nnUNet_raw/Dataset336_opacity``.
    images : iterable of OpacityImage
        As they are to be seen, see `at` and `around_opacity`.
    """
    count, written = 0, set()
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for count, image in enumerate(images, start=1):  # noqa: B007 - the last number is the answer
        picture, opacity = as_picture(image.pixels).astype(np.uint8), image.opacity.astype(np.uint8)
        for path, values in (
            (folder / "imagesTr" / f"{image.name}_0000{_ENDING}", picture),
            (folder / "labelsTr" / f"{image.name}{_ENDING}", opacity),
        ):
            Image.fromarray(values).save(path)
            written.add(path)
    for path in {*folder.glob(f"*Tr/*{_ENDING}")} - written:  # of images that there were before: nnU-Net takes them all
        path.unlink()
    said = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0, "opacity": 1},
        "numTraining": count,
        "file_ending": _ENDING,
    }
    (folder / "dataset.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
    return count


def at(images: Iterable[OpacityImage], side: int) -> Iterator[OpacityImage]:
    """Yield images on a square grid, as the ensemble shows them to a network of this side."""
    for image in images:
        opacity = resized(image.opacity.astype(np.float32), (side, side)) >= 0.5
        yield OpacityImage(name=image.name, pixels=resized(image.pixels, (side, side)), opacity=opacity)


def around_opacity(images: Iterable[OpacityImage]) -> Iterator[OpacityImage]:
    """Yield a crop around each opacity, as the ensemble cuts them for the refinement."""
    for image in images:
        for number, place in enumerate(crops(image.opacity).places):
            yield OpacityImage(
                name=f"{image.name}_{number}",
                pixels=np.ascontiguousarray(image.pixels[place]),
                opacity=np.ascontiguousarray(image.opacity[place]),
            )
