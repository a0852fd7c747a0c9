"""What an evaluation has done so far, on disk, so that one that is broken off can go on.

A folder `unfinished` in the folder of results holds a line for each image, and the pictures of the worst ones. It goes
when the evaluation is complete.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from evaluation.rows import Row
from inference.findings import Algorithm

UNFINISHED, _LINES, _WHAT, _ALGORITHM = "unfinished", "rows.jsonl", "of.json", "algorithm.json"


class BusyError(Exception):
    """Another evaluation writes there."""


class Kept:
    """Rows of an unfinished evaluation.

    Parameters
    ----------
    folder : Path
        Of the results.
    what : mapping
        All that decides what a row says but the image and its truth; rows kept under anything else are dropped.

    Attributes
    ----------
    rows : dict of Row
        By key.
    """

    def __init__(self, folder: Path, what: Mapping[str, Any]) -> None:
        self._folder = folder / UNFINISHED
        self._what = json.loads(json.dumps(what, default=str))
        self.rows: dict[str, Row] = {}

    @contextmanager
    def held(self) -> Iterator[Self]:
        """Keep every other evaluation off the folder, and read what is there.

        Raises
        ------
        BusyError
            If another one writes there.
        OSError
            If it cannot be written to.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(
                    f"another evaluation writes into {self._folder.parent}; wait for it, or choose another folder "
                    "with --out"
                ) from error
            self._read()
            yield self
        finally:
            os.close(descriptor)

    def add(self, row: Row) -> None:
        """Keep a row."""
        self.rows[row.key] = row
        with (self._folder / _LINES).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row.plain(), ensure_ascii=True) + "\n")

    @property
    def algorithm(self) -> Algorithm | None:
        """What ran so far; None where nothing has."""
        try:
            return Algorithm(**json.loads((self._folder / _ALGORITHM).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def note(self, algorithm: Algorithm) -> None:
        """Keep what ran."""
        (self._folder / _ALGORITHM).write_text(json.dumps(asdict(algorithm)), encoding="utf-8")

    def picture(self, name: str) -> Path:
        """Return the file of a kept picture."""
        return self._folder / name

    def remove(self) -> None:
        """Take all of it away: the evaluation is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> None:
        what = self._folder / _WHAT
        try:
            is_same = json.loads(what.read_text(encoding="utf-8")) == self._what
        except (OSError, ValueError):
            is_same = False
        if not is_same:
            for path in self._folder.iterdir():
                path.unlink()
            what.write_text(json.dumps(self._what), encoding="utf-8")
        elif (self._folder / _LINES).exists():
            for line in (self._folder / _LINES).read_text(encoding="utf-8").splitlines():
                row = _row(line)
                if row is not None:
                    self.rows[row.key] = row


def _row(line: str) -> Row | None:
    """Return the row of a line; nothing of one that was being written when the power went."""
    try:
        return Row.from_plain(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def key_of(paths: tuple[Path, ...], truth: Mapping[str, Path], told: str) -> str:
    """Return the SHA-256 of an image's files and of its truth."""
    digest = hashlib.sha256(told.encode())
    for path in (*paths, *(truth[name] for name in sorted(truth))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
