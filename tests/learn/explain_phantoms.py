"""Chest X-rays with planted consolidation, as RSNA distributes its own: DICOM, boxes in a table; and lungs, drawn."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.boxes import Box, boxes_of, filled
from inference.upright import upright
from phantom.cxr import RadiographPhantom, make_radiograph
from phantom.cxr_dicom import to_dataset, turned
from phantom.thorax import Opacity
from training.images import rsna

SIDE = 256
WITHOUT = 3
"""Every so many images show no opacity."""
LIES = (("L", "F"), ("R", "F"), ("F", "L"))
"""How images are stored, one after the other."""
TURNED = (("R", "F"), ("F", "L"), ("L", "H"))
"""And how, if none may be upright."""
_LEAST_PIXELS = 60
_SHOWN_MM = 369.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """One phantom: its file, boxes as somebody would draw them, and what of the lungs is in them.

    Attributes
    ----------
    boxes : tuple of Box
        On the pixels as they are stored.
    truth : tuple of ndarray of bool
        Of the right and the left lung: what is in boxes, upright.
    """

    phantom: RadiographPhantom
    path: Path
    lie: tuple[str, str]
    boxes: tuple[Box, ...]
    truth: tuple[np.ndarray, np.ndarray]

    @property
    def lungs(self) -> tuple[np.ndarray, np.ndarray]:
        """Right and left."""
        return self.phantom.right_lung, self.phantom.left_lung

    @property
    def extents(self) -> tuple[float, float]:
        """Share of the right and the left lung that is in boxes."""
        right, left = (float(part.sum() / lung.sum()) for part, lung in zip(self.truth, self.lungs, strict=True))
        return right, left

    def stored(self, mask: np.ndarray) -> np.ndarray:
        """Return an upright mask as the pixels are stored."""
        return turned(mask, self.lie)


def write_rsna(folder: Path, seeds: Sequence[int], *, drawn: int) -> list[Known]:
    """Write a data set, with both lungs of the first so many images drawn; return what is in it."""
    images = folder / "stage_2_train_images"
    images.mkdir(parents=True)
    known = [make(images / f"p{seed:04}.dcm", seed, LIES[seed % len(LIES)]) for seed in seeds]
    rows, classes = [], []
    for one in known:
        name = one.path.stem
        rows += [(name, box.x, box.y, box.width, box.height, 1) for box in one.boxes] or [(name, "", "", "", "", 0)]
        classes.append((name, "Lung Opacity" if one.boxes else "Normal"))
    _write(folder / rsna.LABELS, ("patientId", "x", "y", "width", "height", "Target"), rows)
    _write(folder / rsna.CLASSES, ("patientId", "class"), classes)
    for one in known[:drawn]:
        for name, lung in zip(("right-lung", "left-lung"), one.lungs, strict=True):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(one.stored(lung)).save(folder / name / f"{one.path.stem}.png")
    return known


def make(path: Path, seed: int, lie: tuple[str, str] = ("L", "F")) -> Known:
    """Make a phantom, turned as it says, with boxes around each of its opacities."""
    phantom = make_radiograph(
        rows=SIDE,
        columns=SIDE,
        spacing_mm=_SHOWN_MM / SIDE,
        opacity=list(_planted(np.random.default_rng(seed))) if seed % WITHOUT else False,
        letter="",
        seed=seed,
    )
    stored = turned(phantom.opacity, lie)
    boxes = tuple(box for box in boxes_of(stored, None, "opacity") if box.width * box.height >= _LEAST_PIXELS)
    in_boxes = upright(lie).turn(filled(boxes, stored.shape))
    to_dataset(
        phantom, view_position="AP", patient_orientation=lie, patient_id=path.stem, uid_entropy=path.stem
    ).save_as(path, enforce_file_format=True)
    return Known(
        phantom=phantom,
        path=path,
        lie=lie,
        boxes=boxes,
        truth=(in_boxes & phantom.right_lung, in_boxes & phantom.left_lung),
    )


def _planted(random: np.random.Generator) -> Iterator[Opacity]:
    """Yield a consolidation high in one lung and one low in the other: no image looks like its mirror image."""
    high = random.choice((-1, 1))
    for side in (-1, 1):
        size = random.uniform(22, 38)
        z = random.uniform(30, 60) if side == high else random.uniform(-70, -40)
        centre = np.array([side * random.uniform(50, 85), random.uniform(-10, 40), z])
        for _ in range(2):
            place = centre + random.normal(0, (6, 6, 6))
            yield Opacity(centre_mm=tuple(place.tolist()), radii_mm=(size, size, size), density=0.9)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
