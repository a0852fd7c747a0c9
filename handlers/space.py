"""Room on the disk: below the low-water mark nothing more is accepted.

The mark leaves room for what was accepted already: its rows, its results, and the journal of the database.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from db.faults import Trouble

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_OPEN_AGAIN_AT = 1.1


class DiskSpace:
    """How much a file system may still take.

    Parameters
    ----------
    folder : Path
        On the file system.
    low_water_bytes : int
        What is to be left free; 0 accepts until the disk is full.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(self, folder: Path, *, low_water_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._low_water = low_water_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._left = 0
        self._trouble = Trouble("nothing is accepted (0xA700)", logger)

    def take(self, size: int) -> bool:
        """Count on so many bytes; say whether there is room for them.

        Raises
        ------
        OSError
            If the file system cannot be asked.
        """
        with self._lock:
            if self._clock() - self._looked_at >= _LOOK_EVERY_S:
                self._look()
            enough = self._low_water == 0 or self._left - size >= self._mark
            if enough:
                self._left -= size
        self._say(enough)
        return enough

    def look(self) -> None:
        """Look again, so that the log tells the end of a lack of room also when nobody sends."""
        with self._lock:
            self._look()
            enough = self._left >= self._mark
        if self._trouble.lasts and enough:
            self._say(True)

    @property
    def _mark(self) -> float:
        """The mark; once it was met, a little more, so that it is not met and left with every other instance."""
        return self._low_water * (_OPEN_AGAIN_AT if self._trouble.lasts else 1)

    def _look(self) -> None:
        status = os.statvfs(self._folder)
        self._left, self._looked_at = status.f_bavail * status.f_frsize, self._clock()

    def _say(self, enough: bool) -> None:
        if enough:
            self._trouble.end()
        else:
            self._trouble.begin(
                f"less than storage.low_water_mb ({self._low_water // 1_000_000} MB) would be left in {self._folder}; "
                "make room there"
            )
