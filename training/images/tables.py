"""Rows of a table that comes with images, by image; what is wrong with a row leaves its image out."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import pydicom
from pydicom.errors import InvalidDicomError

from evaluation.boxes import Box
from training.images.labelled import ImagesError, LabelledImage, Problem

_Group = TypeVar("_Group")


class BadRowError(ValueError):
    """A row, or what it leads to, says what cannot be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row: its number, from 1 beneath the header, and what stands in it by column."""

    number: int
    said: Mapping[str, str]


def rows_of(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read a table.

    Raises
    ------
    ImagesError
        If it is not there, or lacks a column.
    """
    if not path.is_file():
        raise ImagesError(f"{path} is missing; docs/training.md says what belongs into the folder")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream)
        lacking = [name for name in columns if name not in (table.fieldnames or ())]
        if lacking:
            raise ImagesError(f"{path} has no column {', '.join(lacking)}")
        return [
            Row(number=number, said={name: (value or "").strip() for name, value in row.items() if name})
            for number, row in enumerate(table, start=1)
        ]


def by(rows: Sequence[Row], name_of: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Return rows that are of one image, or study, together, in the order of their names."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(name_of(row), []).append(row)
    return dict(sorted(groups.items()))


def gathered(
    groups: Mapping[str, Sequence[Row]], file: str, image_of: Callable[[str, Sequence[Row]], LabelledImage]
) -> tuple[list[LabelledImage], list[Problem]]:
    """Make an image of each group of rows; what cannot be made is named by the table's file and its first row."""
    images, problems = [], []
    for name, rows in groups.items():
        try:
            images.append(image_of(name, rows))
        except BadRowError as error:
            problems.append(Problem(file=file, row=_first_bad(rows, error), why=str(error)))
    return images, problems


class AtRowError(BadRowError):
    """A row that is not the first of its image."""

    def __init__(self, why: str, row: int) -> None:
        super().__init__(why)
        self.row = row


def box_of(row: Row, *, name: str) -> Box:
    """Return the box in the columns x, y, width and height."""
    try:
        x, y, width, height = (float(row.said[part]) for part in ("x", "y", "width", "height"))
    except ValueError as error:
        raise AtRowError("x, y, width and height are not all numbers", row.number) from error
    return checked_box(x, y, width, height, name=name, row=row.number)


def checked_box(x: float, y: float, width: float, height: float, *, name: str, row: int) -> Box:
    """Return a box that can be."""
    if not all(map(isfinite, (x, y, width, height))) or min(x, y) < 0 or min(width, height) <= 0:
        raise AtRowError("a box lies outside the image, or has no size", row)
    return Box(x=x, y=y, width=width, height=height, name=name)


def header_of(path: Path, boxes: Sequence[Box], rows: Sequence[Row]) -> Any:  # noqa: ANN401 - pydicom's edge
    """Return an image's header, having seen that its boxes lie in it."""
    if not path.is_file():
        raise BadRowError(f"there is no file for it in {path.parent.name}")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID", "Rows", "Columns"])
    except (InvalidDicomError, OSError) as error:
        raise BadRowError("its file is no DICOM file") from error
    size = (header.get("Columns"), header.get("Rows"))
    if None in size:
        raise BadRowError("its file holds no image")
    for box, row in zip(boxes, rows, strict=False):
        if box.x + box.width > size[0] + 1 or box.y + box.height > size[1] + 1:
            raise AtRowError(f"a box reaches beyond the image's {size[0]} x {size[1]} pixels", row.number)
    return header


def _first_bad(rows: Sequence[Row], error: BadRowError) -> int:
    return error.row if isinstance(error, AtRowError) else rows[0].number
