"""Chest X-rays with opacities of three kinds, each in a box: as SIIM-FISABIO-RSNA comes from Kaggle, and to be judged.

Kinds differ in shape: round, lying, upright. What their boxes are called means nothing beside that.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phantom.cxr import RadiographPhantom, make_radiograph
from phantom.cxr_dicom import to_dataset, turned
from phantom.thorax import Opacity

KINDS = {"Typical": (32.0, 32.0, 32.0), "Atypical": (42.0, 34.0, 13.0), "Indeterminate": (13.0, 34.0, 46.0)}
"""Radii in mm: across, in depth, up."""
_NONE = "Negative for Pneumonia"
_SHOWN_MM = 369.0


@dataclass(frozen=True, eq=False)
class Boxed:
    """A phantom with its one opacity, if it has one; kinds take turns."""

    name: str
    phantom: RadiographPhantom
    kind: str | None
    orientation: tuple[str, str] = ("L", "F")

    @property
    def edges(self) -> tuple[float, float, float, float] | None:
        """Left, top, width, height on the stored pixels."""
        mask = turned(self.phantom.opacity, self.orientation)
        if not mask.any():
            return None
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return float(columns[0]), float(rows[0]), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = to_dataset(
            self.phantom,
            view_position="AP",
            patient_orientation=self.orientation,
            uid_entropy=self.name,
            patient_id=self.name,
        )
        image.save_as(path, enforce_file_format=True)


def boxed(seed: int, shape: tuple[int, int] = (256, 256), orientation: tuple[str, str] = ("L", "F")) -> Boxed:
    """Make one; every fourth has no opacity."""
    kind = (None, *KINDS)[seed % (1 + len(KINDS))]
    random = np.random.default_rng([seed, 9])
    opacities = []
    if kind is not None:
        side, stretch = random.choice((-1, 1)), random.uniform(0.85, 1.2, 3)
        centre = (side * random.uniform(58, 92), random.uniform(-10, 20), random.uniform(-60, 50))
        radii = np.multiply(KINDS[kind], stretch)
        opacities = [Opacity(centre_mm=tuple(map(float, centre)), radii_mm=tuple(map(float, radii)), density=0.9)]
    phantom = make_radiograph(
        rows=shape[0],
        columns=shape[1],
        spacing_mm=_SHOWN_MM / min(shape),
        opacity=opacities,
        letter="",
        seed=seed,
    )
    return Boxed(f"p{seed}", phantom, kind if phantom.opacity.any() else None, orientation)


def write_siim(folder: Path, images: Sequence[Boxed]) -> None:
    """Write a folder as Kaggle distributes the challenge."""
    classes = (_NONE, *(f"{kind} Appearance" for kind in ("Typical", "Indeterminate", "Atypical")))
    studies, rows = [], []
    for one in images:
        one.write(folder / "train" / f"study{one.name}" / "series" / f"{one.name}.dcm")
        said = _NONE if one.kind is None else f"{one.kind} Appearance"
        studies.append({"id": f"study{one.name}_study", **{name: int(name == said) for name in classes}})
        rows.append({"id": f"{one.name}_image", **_boxes(one), "StudyInstanceUID": f"study{one.name}"})
    for name, table in (("train_study_level.csv", studies), ("train_image_level.csv", rows)):
        _write(folder / name, table)


def write_truth(path: Path, images: Sequence[Boxed]) -> None:
    """Write boxes as `opacity-node evaluate` reads them."""
    _write(path, list(_truth(images)))


def _truth(images: Sequence[Boxed]) -> Iterator[dict[str, object]]:
    for one in images:
        edges = one.edges or ("", "", "", "")
        box = dict(zip(("x", "y", "width", "height"), edges, strict=True))
        yield {"image": one.name, **box, "Target": int(one.kind is not None), "class": one.kind or ""}


def _boxes(one: Boxed) -> dict[str, str]:
    if one.kind is None or one.edges is None:
        return {"boxes": "", "label": "none 1 0 0 1 1"}
    x, y, width, height = one.edges
    listed = [{"x": x, "y": y, "width": width, "height": height}]
    return {"boxes": repr(listed), "label": f"opacity 1 {x} {y} {x + width} {y + height}"}


def _write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
