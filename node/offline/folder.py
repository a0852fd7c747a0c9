"""The folder that takes the results of a run: of one pipeline, written by one run at a time."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MADE_BY = "opacity-node run"
RUN_FILE, FINDINGS_FILE, TABLE_FILE = "run.json", "findings.json", "summary.csv"
LEDGER = ".run-folders"
"""Names every folder that runs made here, one a line; a run that writes here holds its lock."""
UNFINISHED = ".part"
"""Ends the name of a job's folder until all of it is there."""


class FolderError(Exception):
    """Results cannot be written there."""


def check(out: Path, *, pipeline: str, overwrite: bool) -> None:
    """See whether a run may write into a folder; nothing is changed.

    Parameters
    ----------
    out : Path
        Need not exist.
    pipeline : str
        That is to run.
    overwrite : bool
        Whether results may be written among files that no run made.

    Raises
    ------
    FolderError
        If it holds such files, or results of another pipeline.
    """
    try:
        if not out.exists():
            return
        if not out.is_dir():
            raise FolderError(f"{out} is a file; name a folder with --out")
        names = {path.name for path in out.iterdir()} - {LEDGER}
    except OSError as error:
        raise _unwritable(out, error) from error
    earlier = written_by_us(out / RUN_FILE)
    if earlier is None:
        _check_strangers(out, names, overwrite=overwrite)
    elif earlier.get("pipeline") != pipeline:
        raise FolderError(
            f"{out} holds results of {earlier.get('pipeline')}; choose another folder with --out: one folder takes the "
            "results of one pipeline"
        )


@contextmanager
def held(out: Path, *, pipeline: str, overwrite: bool) -> Iterator[None]:
    """Make a folder and keep every other run off it.

    Raises
    ------
    FolderError
        As `check` says; if another run writes into it; if it cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out / LEDGER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        _lock(descriptor, out)
        check(out, pipeline=pipeline, overwrite=overwrite)
        yield
    finally:
        os.close(descriptor)


def new_name(out: Path, wanted: str) -> str:
    """Return a name that nothing in the folder has, whole or unfinished; from now on it is the run's."""
    name, number = wanted, 1
    while (out / name).exists() or (out / f"{name}{UNFINISHED}").exists():
        number += 1
        name = f"{wanted}-{number}"
    with (out / LEDGER).open("a", encoding="utf-8") as ledger:
        ledger.write(f"{name}\n")
    return name


def written_by_us(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file says, if a run wrote it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("made_by") == MADE_BY else None


def _check_strangers(out: Path, names: set[str], *, overwrite: bool) -> None:
    if lost := sorted(names & {RUN_FILE, TABLE_FILE}):
        raise FolderError(
            f"{out / lost[0]} is not of an earlier run and would be lost; take it away, or choose another folder with "
            "--out"
        )
    if names and not overwrite:
        raise FolderError(
            f"{out} holds files that are not of an earlier run; choose another folder with --out, or write among them "
            "with --overwrite (they stay)"
        )


def _lock(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FolderError(
            f"Another run writes into {out}; wait until it has ended, or choose another folder with --out"
        ) from error
    except OSError:
        return  # some network file systems have no locks, and nothing says that another run is there


def _unwritable(out: Path, error: OSError) -> FolderError:
    return FolderError(f"{out} cannot be written to: {error.strerror}")
