"""One life of the node under test: a process, its workers, its marks."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.processes import Daemon
from tests.torture.marks import MARKS, Marks
from tests.torture.pauses import SEED

_GONE_WITHIN_S = 5


class NodeEndedError(Exception):
    """The node ended although nobody killed it."""


class Life:
    """From a start of the node to its end.

    Parameters
    ----------
    config : Path
        Of the node; log and marks go beside it.
    number : int
        From 1; names the marks.
    seed : int
        Of the pauses.
    settings : Mapping of str
        Environment variables that override the configuration.
    """

    def __init__(self, config: Path, *, number: int, seed: int, settings: Mapping[str, str]) -> None:
        marks = config.with_name(f"marks-{number:04d}")
        self.marks = Marks(marks)
        self._process = Daemon(
            [sys.executable, "-m", "tests.torture", "serve", "--config", config],
            config.with_name("node.log"),
            {**settings, MARKS: str(marks), SEED: f"{seed}-{number}"},
        )

    def check(self) -> None:
        """Raise if it has ended.

        Raises
        ------
        NodeEndedError
            With the end of its log.
        """
        if self._process.returncode is not None:
            raise NodeEndedError(f"it ended with {self._process.returncode}\n{self._process.log_text()}")

    def kill(self) -> None:
        """End the node, and nothing else, as the kernel does when memory is short."""
        self.check()
        self._process.kill()

    def stop(self) -> int:
        """Stop it as an operator does and return its exit status."""
        return self._process.stop(grace_s=60)

    def left_behind(self) -> list[psutil.Process]:
        """Return what of it still lives some time after its end."""
        deadline = time.monotonic() + _GONE_WITHIN_S
        while (left := [p for p in psutil.process_iter() if self._is_of_it(p)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _is_of_it(self, process: psutil.Process) -> bool:
        """Workers stay in the group that the node leads."""
        try:
            return os.getpgid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, ProcessLookupError):
            return False
