"""What is known of images: a folder of masks, or a table. Read and checked before anything runs."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.truth.known import Kind, Known, Truth, TruthError
from evaluation.truth.masks import read_folder
from evaluation.truth.table import read_table

__all__ = ["Kind", "Known", "Truth", "TruthError", "read_truth"]


def read_truth(place: Path, regions: Sequence[str]) -> Known:
    """Read what is known.

    Parameters
    ----------
    place : Path
        A folder of masks, or a CSV file.
    regions : sequence of str
        Labels of the regions that masks are compared with.

    Raises
    ------
    TruthError
        If it cannot be used; the message says all that is wrong.
    """
    if place.is_dir():
        return read_folder(place, regions)
    if not place.exists():
        raise TruthError(f"{place}: there is no such file or folder")
    if place.suffix.lower() != ".csv":
        raise TruthError(f"{place} is no CSV file; give a folder of masks, or a table whose name ends in .csv")
    return read_table(place)
