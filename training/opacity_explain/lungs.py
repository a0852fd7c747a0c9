"""The lungs of images: as somebody drew them, or else as the segmenter outlines them, once for all parts."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from inference.opacity_explain.decisions import SIDES
from inference.opacity_explain.views import lungs_of, whole_view
from training.images.labelled import LabelledImage
from training.opacity_explain.views import Xray

FOLDERS = tuple(f"{side}-lung" for side in SIDES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmenter:
    """A network that outlines lungs, and the hash of its weights."""

    network: nn.Module
    sha256: str
    device: str


def drawn(images: Iterable[LabelledImage], folder: Path) -> list[Xray]:
    """Return the images of which somebody drew both lungs: ``right-lung/NAME.png`` and ``left-lung/NAME.png``."""
    pairs = [(image, _paths(folder, image)) for image in images]
    return [Xray(image=image, lungs=paths) for image, paths in pairs if all(path.is_file() for path in paths)]


def outlined(
    images: Iterable[LabelledImage], segmenter: Segmenter, kept: Path, *, on_done: Callable[[], None] = lambda: None
) -> list[Xray]:
    """Outline the lungs of images, as the pipeline does, and keep them as a person would draw them.

    Parameters
    ----------
    images : iterable of LabelledImage
        Those that nobody drew lungs on.
    segmenter : Segmenter
        What outlines them.
    kept : Path
        Folder that takes the masks; what it has is not made again.
    on_done : callable
        Called after each image.
    """
    folder = kept / segmenter.sha256[:16]
    found = []
    for image in images:
        paths = _paths(folder, image)
        if not all(path.is_file() for path in paths):
            _outline(image, segmenter, paths)
        found.append(Xray(image=image, lungs=paths))
        on_done()
    return found


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _outline(image: LabelledImage, segmenter: Segmenter, paths: tuple[Path, ...]) -> None:
    read = image.read()
    view = torch.from_numpy(whole_view(read.pixels))[None, None].to(segmenter.device)
    with torch.inference_mode():
        likely = segmenter.network(view).float().sigmoid()[0].cpu().numpy()
    for path, lung in zip(paths, lungs_of(likely, read.pixels.shape), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        Image.fromarray(np.ascontiguousarray(read.upright.turn_back(lung))).save(part, format="PNG")
        part.replace(path)


def _paths(folder: Path, image: LabelledImage) -> tuple[Path, ...]:
    return tuple(folder / name / f"{image.name}.png" for name in FOLDERS)
