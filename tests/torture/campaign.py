"""Kills one node after another, all on one storage, under load, each in a window that was open when the kill came."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from db.files import Storage
from node.config import load
from tests.torture import rows
from tests.torture.life import Life
from tests.torture.marks import Window
from tests.torture.senders import DcmtkSender
from tests.torture.toll import Toll

logger = logging.getLogger(__name__)

WINDOWS = (Window.RECEIVING, Window.SPOOLED, Window.MOVING, Window.RUNNING, Window.SENDING)
"""Those of a life; a start can be hit too."""
_WORKER, _SENDER = "worker", "sender"
_SETTINGS = {
    "OPACITY_NODE_SETTLE__QUIET_CT_S": "3",
    "OPACITY_NODE_SETTLE__MAX_REVISIONS": "50",
    "OPACITY_NODE_ENGINE__MAX_ATTEMPTS": "5",
    "OPACITY_NODE_ENGINE__RETRY_AFTER_S": "0.2",
    "OPACITY_NODE_OUTBOX__RETRY_AFTER_S": "0.2",
}
_LONGEST_WAIT_S = 60.0
_FINISHED_WITHIN_S = 300.0
_LOOK_S = 0.0005


class TooLongError(Exception):
    """Something that had to come did not."""


class Campaign:
    """Lives and deaths of one node; the block ends with its orderly stop.

    Parameters
    ----------
    config : Path
        Of the node.
    port : int
        Where it listens, in every life.
    seed : int
        Of the order of the kills and of their moments.
    """

    def __init__(self, config: Path, *, port: int, seed: int) -> None:
        self._file = config
        self._seed = seed
        self._choice = random.Random(seed)  # noqa: S311 - guards nothing
        self._settings = _SETTINGS | {"OPACITY_NODE_DICOM__PORT": str(port)}
        self._usual_s = dict.fromkeys(Window, 1.0)
        self._lives = 0
        self.storage = Storage(load(config).storage.path)
        self.toll = Toll()

    def __enter__(self) -> Self:
        self.life = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.life.stop()
        self._bury(self.life)

    def _start(self) -> Life:
        self._lives += 1
        return Life(self._file, number=self._lives, seed=self._seed, settings=self._settings)

    def run(self, *, kills: int, dcmtk: Sequence[DcmtkSender]) -> None:
        """Kill the node so often in each window; half as often in its start, and the worker; as often a sender."""
        for target in self._plan(kills, with_senders=bool(dcmtk)):
            began = time.monotonic()
            if target == _WORKER:
                self._kill_worker()
            elif target == _SENDER:
                self._kill_sender(dcmtk)
            else:
                self._kill_node(Window(target))
            logger.info("killed %s in life %d after %.1f s", target, self._lives, time.monotonic() - began)

    def finish(self) -> None:
        """Let the node of the last life do all that is left to do."""
        self._until(self._is_finished, "the end of all work", time.monotonic() + _FINISHED_WITHIN_S, look_s=0.5)

    def _plan(self, kills: int, *, with_senders: bool) -> list[str]:
        """Return what to kill, in a random order; a kill during a start follows a kill."""
        windows = [window for window in WINDOWS for _ in range(kills)]
        half = kills // 2
        followed = set(self._choice.sample(range(len(windows)), half))
        steps: list[list[str]] = [[w, Window.STARTING] if n in followed else [w] for n, w in enumerate(windows)]
        steps += [[_WORKER]] * half + [[_SENDER]] * kills * with_senders
        self._choice.shuffle(steps)
        return [target for step in steps for target in step]

    def _kill_node(self, window: Window) -> None:
        """Kill the node and start it again at once, until the window was open when it died."""
        while True:
            self._wait_for(window)
            dead = self.life
            dead.kill()
            hit = dead.marks.is_open(window) and (window is not Window.SPOOLED or bool(self.storage.spooled()))
            self.life = self._start()
            self._bury(dead)
            if hit:
                break
            self.toll.too_late += 1
        self.toll.hits[window] += 1
        self.toll.also_open.update(other for other in Window if other is not window and dead.marks.is_open(other))
        if window is Window.RUNNING:
            self.toll.stages[dead.marks.stage] += 1

    def _bury(self, dead: Life) -> None:
        """Take down what an ended life did and left."""
        self.toll.starts += dead.marks.starts
        self._usual_s = {window: dead.marks.last_s(window, usual) for window, usual in self._usual_s.items()}
        left = dead.left_behind()
        self.toll.left_behind += len(left)
        for process in left:
            process.kill()

    def _wait_for(self, window: Window) -> None:
        """Wait for a random moment while the window is open; a start that is over does not come again."""
        marks = self.life.marks
        deadline = time.monotonic() + _LONGEST_WAIT_S
        while True:
            before = 0 if window is Window.STARTING else marks.times_opened(window)
            self._until(lambda before=before: marks.times_opened(window) > before, window, deadline)
            self._pass(marks.last_s(window, self._usual_s[window]), lambda: marks.is_open(window))
            if marks.is_open(window) or window is Window.STARTING:
                return

    def _kill_worker(self) -> None:
        """Kill a worker at a job that lost none yet, and see the death counted against the job."""
        while True:
            job = self._kill_a_worker()
            if self.life.marks.worker_job == job:
                break
            self.toll.workers_too_late.add(job)
        self.toll.workers.add(job)
        self._until(lambda: rows.worker_deaths(self.storage, job) == 1, "the count of a dead worker", look_s=0.05)

    def _kill_a_worker(self) -> int:
        marks = self.life.marks
        spared = {0} | self.toll.workers | self.toll.workers_too_late
        deadline = time.monotonic() + _LONGEST_WAIT_S
        while True:
            self._until(lambda: marks.worker_job not in spared, _WORKER, deadline)
            job, worker = marks.worker_job, psutil.Process(marks.worker)
            self._pass(self._usual_s[Window.RUNNING], lambda job=job: marks.worker_job == job)
            if marks.worker_job == job:
                worker.kill()
                worker.wait(_LONGEST_WAIT_S)
                return job

    def _kill_sender(self, dcmtk: Sequence[DcmtkSender]) -> None:
        self._until(lambda: any(sender.kill() for sender in dcmtk), _SENDER)
        self.toll.senders += 1

    def _is_finished(self) -> bool:
        return not any(self.storage.spool.iterdir()) and not rows.waiting(self.storage)

    def _pass(self, longest_s: float, condition: Callable[[], bool]) -> None:
        """Let a random time pass while a condition holds."""
        moment = time.monotonic() + self._choice.uniform(0, longest_s)
        while time.monotonic() < moment and condition():
            time.sleep(_LOOK_S)

    def _until(
        self, condition: Callable[[], bool], what: str, deadline: float | None = None, look_s: float = _LOOK_S
    ) -> None:
        deadline = deadline or time.monotonic() + _LONGEST_WAIT_S
        while not condition():
            self.life.check()
            if time.monotonic() > deadline:
                raise TooLongError(f"{what} did not come in time")
            time.sleep(look_s)
