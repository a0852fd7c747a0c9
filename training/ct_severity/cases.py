"""Chest CTs whose severity is known: a folder of DICOM series, and a table that says it."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from inference.severity.network import LEVELS
from training.errors import TrainingError

_HIGHEST_SCORE = 25
_SCORES_A_LEVEL = _HIGHEST_SCORE // LEVELS
_YES_NO = {"1": True, "0": False, "": None}


class CaseError(TrainingError):
    """The table or the folder is not what the recipe reads; says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One CT.

    Attributes
    ----------
    row : int
        Of the table, from 1: all that files and messages say of whose it is.
    paths : tuple of Path
        Its DICOM files, sorted.
    patient : str
        Whose other CTs must be in the same fold.
    level : int
        Of severity, from 1 to `LEVELS`.
    covid : bool or None
        None where nobody knows.
    """

    row: int
    paths: tuple[Path, ...]
    patient: str
    level: int
    covid: bool | None


def read(data: Path, table: Path) -> list[Case]:
    """Read a table: a header, and for each CT a row.

    Parameters
    ----------
    data : Path
        Folder in which the folders of the table lie.
    table : Path
        CSV with the columns ``folder``; ``level`` (1 to 5) or ``global_ct_score`` (0 to 25); ``patient``; and, if
        known, ``covid`` (0 or 1) and ``series_instance_uid``, which a folder of several series needs.

    Raises
    ------
    CaseError
        If a row does not say what is needed, or its folder does not hold one series.
    """
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        raise CaseError(f"{table} has no rows; see docs/training.md for its columns.")
    return [_case(data, number, row) for number, row in enumerate(rows, start=1)]


def level_of(global_ct_score: float) -> int:
    """Return the level of a Global CT Score: 0 to 5 is 1, to 10 is 2, to 15 is 3, to 20 is 4, to 25 is 5."""
    return max(1, math.ceil(global_ct_score / _SCORES_A_LEVEL))


def _case(data: Path, number: int, row: Mapping[str, str | None]) -> Case:
    said: dict[str, str] = {name: (value or "").strip() for name, value in row.items() if name}
    if missing := [name for name in ("folder", "patient") if not said.get(name)]:
        raise CaseError(f"Row {number} has no {' and no '.join(missing)}; every CT needs both.")
    covid = said.get("covid", "")
    if covid not in _YES_NO:
        raise CaseError(f"Row {number}: covid must be 0, 1 or empty.")
    return Case(
        row=number,
        paths=_paths(data / said["folder"], number, said.get("series_instance_uid", "")),
        patient=said["patient"],
        level=_level(number, said),
        covid=_YES_NO[covid],
    )


def _level(number: int, said: Mapping[str, str]) -> int:
    for name, low, high in (("level", 1, LEVELS), ("global_ct_score", 0, _HIGHEST_SCORE)):
        if text := said.get(name):
            if not text.isdecimal() or not low <= int(text) <= high:
                raise CaseError(f"Row {number}: {name} must be a whole number from {low} to {high}.")
            return int(text) if name == "level" else level_of(int(text))
    raise CaseError(f"Row {number} has no level and no global_ct_score; every CT needs one of them.")


def _paths(folder: Path, number: int, series_instance_uid: str) -> tuple[Path, ...]:
    by_series: dict[str, list[Path]] = {}
    for path, found in _series_of(folder):
        by_series.setdefault(found, []).append(path)
    if series_instance_uid:
        by_series = {uid: paths for uid, paths in by_series.items() if uid == series_instance_uid}
    if len(by_series) != 1:
        raise CaseError(
            f"The folder of row {number} holds {len(by_series)} series; name one in the column series_instance_uid."
            if by_series
            else f"The folder of row {number} holds no such DICOM series; correct folder or series_instance_uid."
        )
    (paths,) = by_series.values()
    return tuple(paths)


def _series_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the DICOM images of a folder, and the series that each belongs to."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"])
        except InvalidDicomError:
            continue
        if "Rows" in header and "SeriesInstanceUID" in header:
            yield path, str(header.SeriesInstanceUID)
