"""The folder that takes the results of a run: what an earlier run left there goes, what others put there stays."""

import json
import shutil
from pathlib import Path

MADE_BY = "opacity-node run"
RUN_FILE, FINDINGS_FILE, TABLE_FILE = "run.json", "findings.json", "summary.csv"
UNFINISHED = ".part"
"""Ends the name of a job's folder until all of it is there."""


class FolderError(Exception):
    """Results cannot be written there."""


def prepare(out: Path, *, overwrite: bool) -> None:
    """Make a folder ready for a run.

    Parameters
    ----------
    out : Path
        Need not exist.
    overwrite : bool
        Whether results may be written among files that no run made.

    Raises
    ------
    FolderError
        If it holds such files, or cannot be written to.
    """
    try:
        if out.exists() and not out.is_dir():
            raise FolderError(f"{out} is a file; name a folder with --out")
        out.mkdir(parents=True, exist_ok=True)
        ours = _says_made_by_us(out / RUN_FILE)
        if any(out.iterdir()) and not (ours or overwrite):
            raise FolderError(
                f"{out} holds files that are not of an earlier run; choose another folder with --out, or write among "
                "them with --overwrite (results of an earlier run are replaced, nothing else is)"
            )
        for folder in [entry for entry in out.iterdir() if entry.is_dir() and not entry.is_symlink()]:
            if _says_made_by_us(folder / FINDINGS_FILE) or (ours and folder.name.endswith(UNFINISHED)):
                shutil.rmtree(folder)
        if ours:
            (out / TABLE_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise FolderError(f"{out} cannot be written to: {error.strerror}") from error


def free_name(out: Path, wanted: str) -> str:
    """Return a name that nothing in the folder has."""
    name, number = wanted, 1
    while (out / name).exists():
        number += 1
        name = f"{wanted}-{number}"
    return name


def _says_made_by_us(path: Path) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("made_by") == MADE_BY
