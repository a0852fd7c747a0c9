"""What a node under test is doing at this moment, in a mapped file: exact to the last step before a kill.

The node and its worker write, the harness reads. Every value is one aligned 8-byte store, which no kill can halve, and
the mapped page outlives the process that wrote it.
"""

import mmap
import os
import threading
import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

MARKS = "TORTURE_MARKS"
"""The environment variable that names the file."""
_SLOT_BYTES = 8
_SLOTS_PER_WINDOW = 3
_OPEN, _OPENED, _LAST_NS = range(_SLOTS_PER_WINDOW)


class Window(StrEnum):
    """Where a kill can hit an instance, a job or a result."""

    RECEIVING = "receiving"
    SPOOLED = "spooled, not indexed"
    MOVING = "moving"
    RUNNING = "running"
    SENDING = "sending"
    STARTING = "starting up after a kill"


class Stage(StrEnum):
    """How far the worker is with its job."""

    WAITING = "waiting for the worker"
    LOADING = "loading"
    COMPUTING = "computing"
    BUILDING = "building"
    WRITING = "writing"
    RETURNING = "done, not recorded"


_WINDOWS, _STAGES = list(Window), list(Stage)
_FIRST_BEHIND = _SLOTS_PER_WINDOW * len(_WINDOWS)
_STARTS, _STAGE, _WORKER, _WORKER_JOB, _TAKEN_NS = range(_FIRST_BEHIND, _FIRST_BEHIND + 5)
_SIZE = (_TAKEN_NS + 1) * _SLOT_BYTES


class Marks:
    """The marks of one life of a node."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._slots = memoryview(mmap.mmap(descriptor, _SIZE)).cast("Q")
        finally:
            os.close(descriptor)

    def is_open(self, window: Window) -> bool:
        return self._slots[_slot(window, _OPEN)] > 0

    def times_opened(self, window: Window) -> int:
        return self._slots[_slot(window, _OPENED)]

    def last_s(self, window: Window, default: float) -> float:
        """For how long it was open the last time."""
        return self._slots[_slot(window, _LAST_NS)] / 1e9 or default

    @property
    def stage(self) -> Stage:
        return _STAGES[self._slots[_STAGE]]

    @property
    def worker(self) -> int:
        """The process id of the worker that took a job last; 0 before the first."""
        return self._slots[_WORKER]

    @property
    def worker_job(self) -> int:
        """The id of the job that the worker is at; 0 while it is at none."""
        return self._slots[_WORKER_JOB]

    @property
    def starts(self) -> int:
        """How often a job was handed to a worker."""
        return self._slots[_STARTS]


class NodeMarks(Marks):
    """Written by the node."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._open: dict[Window, dict[Hashable, int]] = {window: {} for window in Window}
        self._closed_before: set[tuple[Window, Hashable]] = set()

    def open(self, window: Window, token: Hashable) -> None:
        """Open it, unless another thread came first and closed it."""
        with self._lock:
            if (window, token) in self._closed_before:
                return
            self._open[window][token] = time.monotonic_ns()
            self._slots[_slot(window, _OPENED)] += 1
            self._slots[_slot(window, _OPEN)] = len(self._open[window])

    def close(self, window: Window, tokens: Iterable[Hashable]) -> None:
        with self._lock:
            for token in tokens:
                began = self._open[window].pop(token, None)
                if began is None:
                    self._closed_before.add((window, token))
                else:
                    self._slots[_slot(window, _LAST_NS)] = time.monotonic_ns() - began
            self._slots[_slot(window, _OPEN)] = len(self._open[window])

    @contextmanager
    def during(self, window: Window) -> Iterator[None]:
        token = object()
        self.open(window, token)
        try:
            yield
        finally:
            self.close(window, [token])

    def hand_over(self) -> None:
        """A job goes to a worker."""
        self._slots[_STAGE] = _STAGES.index(Stage.WAITING)
        self._slots[_STARTS] += 1

    def end_run(self) -> None:
        """How the job ended is committed."""
        self._slots[_slot(Window.RUNNING, _LAST_NS)] = time.monotonic_ns() - self._slots[_TAKEN_NS]
        self._slots[_slot(Window.RUNNING, _OPEN)] = 0


class WorkerMarks(Marks):
    """Written by the worker, of which there is one."""

    @contextmanager
    def at(self, job: int) -> Iterator[None]:
        """Be at a job; `Window.RUNNING` stays open until the node closes it."""
        self._slots[_WORKER] = os.getpid()
        self._slots[_TAKEN_NS] = time.monotonic_ns()
        self._slots[_slot(Window.RUNNING, _OPEN)] = 1
        self._slots[_slot(Window.RUNNING, _OPENED)] += 1
        self._slots[_WORKER_JOB] = job
        try:
            yield
        finally:
            self.reach(Stage.RETURNING)
            self._slots[_WORKER_JOB] = 0

    def reach(self, stage: Stage) -> None:
        self._slots[_STAGE] = _STAGES.index(stage)


def _slot(window: Window, which: int) -> int:
    return _WINDOWS.index(window) * _SLOTS_PER_WINDOW + which
