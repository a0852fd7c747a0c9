"""A table of truth: labels, levels, or boxes as Kaggle's RSNA file has them.

References
----------
RSNA Pneumonia Detection Challenge, 2018: stage_2_train_labels.csv with patientId, x, y, width, height, Target; one row
for each box, one without numbers for an image without any.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TypeVar

from evaluation.boxes import Box
from evaluation.truth.known import Kind, Known, Truth, TruthError, plain_name

Row = Mapping[str, str]
_Value = TypeVar("_Value")

_NAME = (
    *("image", "sopinstanceuid", "seriesinstanceuid", "studyinstanceuid", "patientid", "imageid", "id", "file"),
    *("filename", "name"),
)
_LABEL, _LEVEL, _CLASS = ("target", "label", "truth"), ("level", "severity"), ("class", "classname")
_BOX = ("x", "y", "width", "height")
_MOST_TOLD = 5
_FORMS = (
    "image,label (0 or 1) · image,level (a whole number) · patientId,x,y,width,height,Target (a row for each box, the "
    "numbers empty where there is none; class may follow)"
)


class _BadRowError(ValueError):
    """A row says what cannot be."""


def read_table(path: Path) -> Known:
    """Read a CSV file.

    Raises
    ------
    TruthError
        If it is none of the tables that are known, or rows say what cannot be.
    """
    rows, columns = _rows(path)
    name, label = _column(columns, _NAME), _column(columns, _LABEL)
    level, kind_of_box = _column(columns, _LEVEL), _column(columns, _CLASS)
    has_boxes = set(_BOX) <= columns
    if not name or not (label or level or has_boxes):
        raise TruthError(f"{path}: no known table. Its first line must be one of: {_FORMS}")
    if level and (label or has_boxes):
        raise TruthError(f"{path} mixes levels with labels or boxes; give one table for each")
    if has_boxes:
        return _known(path, Kind.BOXES, rows, name, lambda row: _box(row, label, kind_of_box), _boxes)
    if level:
        return _known(path, Kind.LEVELS, rows, name, lambda row: _whole(row, level), _one_level)
    return _known(path, Kind.LABELS, rows, name, lambda row: _yes_or_no(row, label), _one_label)


def _rows(path: Path) -> tuple[Sequence[Row], set[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            titles = [title.strip().lower().replace("_", "").replace(" ", "") for title in next(lines, [])]
            rows = [dict(zip(titles, (cell.strip() for cell in line), strict=False)) for line in lines]
    except OSError as error:
        raise TruthError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TruthError(f"{path} is no text in UTF-8 with commas ({error}); save it as CSV UTF-8") from error
    return rows, set(titles)


def _column(columns: set[str], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in columns), "")


def _known(
    path: Path,
    kind: Kind,
    rows: Sequence[Row],
    name: str,
    read: Callable[[Row], _Value],
    join: Callable[[list[_Value]], Truth],
) -> Known:
    """Read every row, join those of one image, and tell of all that are wrong."""
    values: dict[str, list[_Value]] = defaultdict(list)
    wrong: list[str] = []
    for line, row in enumerate(rows, start=2):
        if any(row.values()):
            with _told(f"line {line}", wrong):
                image, value = _image(row, name), read(row)
                values[image].append(value)
    found = {}
    for image, of_image in values.items():
        with _told(image, wrong):
            found[image] = join(of_image)
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise TruthError(f"{path}: {'; '.join(wrong[:_MOST_TOLD])}{more}")
    if not found:
        raise TruthError(f"{path} has no rows")
    return Known(kind=kind, place=path, of=found)


@contextmanager
def _told(where: str, wrong: list[str]) -> Iterator[None]:
    try:
        yield
    except _BadRowError as error:
        wrong.append(f"{where}: {error}")


def _image(row: Row, column: str) -> str:
    if name := plain_name(row.get(column, "")):
        return name
    raise _BadRowError(f"{column} is empty")


def _yes_or_no(row: Row, column: str) -> int:
    text = row.get(column, "")
    if text not in ("0", "1", "0.0", "1.0"):
        raise _BadRowError(f"{column} is {text!r}: give 0 or 1")
    return int(float(text))


def _whole(row: Row, column: str) -> int:
    text = row.get(column, "")
    if not text.isascii() or not text.isdigit():
        raise _BadRowError(f"{column} is {text!r}: give a whole number")
    return int(text)


def _box(row: Row, label: str, kind: str) -> Box | None:
    """Return the box of a row, or None where it says that there is none."""
    texts = [row.get(name, "") for name in _BOX]
    is_there = any(text.lower() not in ("", "nan") for text in texts)
    if label and bool(_yes_or_no(row, label)) != is_there:
        raise _BadRowError(f"{label} is {row[label]}, and there is {'a' if is_there else 'no'} box")
    if not is_there:
        return None
    try:
        x, y, width, height = (float(text) for text in texts)
    except ValueError:
        raise _BadRowError(f"x, y, width, height are {', '.join(map(repr, texts))}: give four numbers") from None
    if not all(map(isfinite, (x, y, width, height))) or min(x, y) < 0 or min(width, height) <= 0:
        raise _BadRowError("a box needs x and y of 0 or more, width and height above 0")
    return Box(x=x, y=y, width=width, height=height, name=row.get(kind, "") or "opacity")


def _boxes(found: list[Box | None]) -> Truth:
    boxes = tuple(box for box in found if box is not None)
    if boxes and len(boxes) < len(found):
        raise _BadRowError("it has boxes, and a row that says that there are none")
    return Truth(label=int(bool(boxes)), boxes=boxes)


def _one_label(found: list[int]) -> Truth:
    return Truth(label=_only(found))


def _one_level(found: list[int]) -> Truth:
    return Truth(level=_only(found))


def _only(found: list[int]) -> int:
    if len(set(found)) > 1:
        raise _BadRowError(f"it is said to be {' and '.join(map(str, sorted(set(found))))}")
    return found[0]
