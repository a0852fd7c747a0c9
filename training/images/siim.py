"""SIIM-FISABIO-RSNA COVID-19 Detection (2021), as Kaggle distributes it: classes of studies, boxes on their images.

``train_study_level.csv`` gives each study one of four classes; ``train_image_level.csv`` has a row for each image, its
boxes as a list of Python and again as a line of words; images are ``train/STUDY/SERIES/IMAGE.dcm``. A study may have
several images, often the same one developed otherwise, of which one alone bears the boxes: an image without a box in a
study with opacity is left out, since nobody says that it shows none.

References
----------
Lakhani et al., Journal of Digital Imaging 2023, 36:365-372.
"""

import ast
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path

from evaluation.boxes import Box
from training.images.labelled import Images, LabelledImage
from training.images.tables import AtRowError, BadRowError, Row, by, checked_box, gathered, header_of, rows_of

ORIGIN = "SIIM-FISABIO-RSNA COVID-19 Detection 2021, train"
STUDIES, IMAGES = "train_study_level.csv", "train_image_level.csv"
NEGATIVE = "Negative for Pneumonia"
CLASSES = (NEGATIVE, "Typical Appearance", "Indeterminate Appearance", "Atypical Appearance")
_WITHOUT = "none 1 0 0 1 1"
_SAME = 0.01  # pixels: both forms are rounded
_BOX = 6  # words


def read(folder: Path) -> Images:
    """Read the folder; a box is named after the class of its study.

    Raises
    ------
    ImagesError
        If a table is missing or is another one, or no image can be used.
    """
    studies = by(rows_of(folder / STUDIES, ("id", *CLASSES)), lambda row: _plain(row.said["id"]))
    rows = rows_of(folder / IMAGES, ("id", "boxes", "label", "StudyInstanceUID"))
    paths = {path.stem: path for path in (folder / "train").glob("*/*/*.dcm")}

    def image_of(name: str, rows: Sequence[Row]) -> LabelledImage:
        row = _one(rows)
        study = row.said["StudyInstanceUID"]
        finding = _class(studies.get(study, ()))
        boxes = _boxes(row, finding)
        if boxes and finding == NEGATIVE:
            raise BadRowError(f"it has boxes, and its study is {NEGATIVE}")
        if not boxes and finding != NEGATIVE:
            raise BadRowError(f"its study is {finding}, and it has no box: perhaps another image of the study has")
        path = paths.get(name, folder / "train" / study / f"{name}.dcm")
        if path.is_file() and path.parts[-3] != study:
            raise BadRowError("its file lies in the folder of another study")
        header = header_of(path, boxes, [row] * len(boxes))
        return LabelledImage(
            name=name,
            patient=str(header.get("PatientID") or study),
            path=path,
            finding=finding,
            is_opaque=bool(boxes),
            boxes=boxes,
        )

    usable, left_out = gathered(by(rows, lambda row: _plain(row.said["id"])), IMAGES, image_of)
    lacking = len(set(studies) - {row.said["StudyInstanceUID"] for row in rows})
    return Images(
        origin=ORIGIN,
        place=folder,
        usable=tuple(usable),
        left_out=tuple(left_out),
        notes=(f"{lacking} studies of {STUDIES} have no image in {IMAGES}.",) if lacking else (),
    ).checked()


def _plain(identifier: str) -> str:
    return identifier.removesuffix("_study").removesuffix("_image")


def _one(rows: Sequence[Row]) -> Row:
    """Return the row of an image; the same row twice is one."""
    first, *more = rows
    for row in more:
        if row.said != first.said:
            raise AtRowError("another row says otherwise of the same image", row.number)
    return first


def _class(rows: Sequence[Row]) -> str:
    found = {name for row in rows for name in CLASSES if row.said[name] == "1"}
    if len(found) != 1:
        raise BadRowError(f"{STUDIES} gives its study {' and '.join(sorted(found)) or 'no class'}")
    return found.pop()


def _boxes(row: Row, finding: str) -> tuple[Box, ...]:
    """Return the boxes, which the table says twice."""
    listed = _listed(row)
    boxes = tuple(
        checked_box(box["x"], box["y"], box["width"], box["height"], name=finding.lower(), row=row.number)
        for box in listed
    )
    if not _agree(boxes, row.said["label"]):
        raise AtRowError("boxes and label do not say the same", row.number)
    return boxes


def _listed(row: Row) -> list[Mapping[str, float]]:
    if not row.said["boxes"]:
        return []
    try:
        listed = ast.literal_eval(row.said["boxes"])
        return [{part: float(box[part]) for part in ("x", "y", "width", "height")} for box in listed]
    except (ValueError, SyntaxError, LookupError, TypeError) as error:
        raise AtRowError("boxes is no list of x, y, width and height", row.number) from error


def _agree(boxes: Sequence[Box], label: str) -> bool:
    words = label.split()
    if not boxes:
        return label == _WITHOUT
    if len(words) != _BOX * len(boxes):
        return False
    for box, start in zip(boxes, range(0, len(words), _BOX), strict=True):
        kind, _, *edges = words[start : start + _BOX]
        ends = (box.x, box.y, box.x + box.width, box.y + box.height)
        try:
            same = all(isclose(float(edge), end, abs_tol=_SAME) for edge, end in zip(edges, ends, strict=True))
        except ValueError:
            return False
        if kind != "opacity" or not same:
            return False
    return True
