"""Where a job runs: one spawned process per device, replaced before the next job if it died, killed when it hangs.

The pool is pebble's: unlike the standard library's it can end a task that does not end itself.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from enum import StrEnum

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from node import worker
from node.worker import JobOutcome, JobSpec

logger = logging.getLogger(__name__)


class Ending(StrEnum):
    """How a run ended that gave no outcome."""

    FAULT = "fault"
    TIME_LIMIT = "time-limit"
    WORKER_DIED = "worker-died"
    STOPPED = "stopped"
    UNEQUAL_RESULT = "unequal-result"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A run that gave no outcome."""

    ending: Ending
    message: str


Run = Callable[[JobSpec, str], JobOutcome]
Done = Callable[[JobSpec, JobOutcome | Failure], None]


class LocalEngine:
    """Worker processes on this machine.

    Parameters
    ----------
    devices : sequence of str
        Torch devices; each gets one process.
    time_limit_s : float
        After which a run is killed.
    log_level : str
        Of the workers.
    run : callable
        What a worker does with a job; importable by name.
    """

    def __init__(
        self, *, devices: Sequence[str], time_limit_s: float, log_level: str = "INFO", run: Run = worker.run
    ) -> None:
        self._time_limit_s = time_limit_s
        self._run = run
        self._running: dict[str, ProcessFuture[JobOutcome]] = {}
        self._stopping = False
        self._log_level = log_level
        self._pools = {device: self._make_pool() for device in devices}

    def start(self) -> None:
        """Start every worker, so that its imports are paid before the first job."""
        for pool in self._pools.values():
            pool.schedule(_nothing)

    def free_device(self) -> str | None:
        """Return a device with nothing to do."""
        return next((device for device in self._pools if device not in self._running), None)

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return bool(self._running)

    def submit(self, spec: JobSpec, device: str, done: Done) -> None:
        """Run a job on a free device.

        `done` is called from another thread when it ended; perhaps not if the engine was stopped before.
        """
        if not self._pools[device].active:  # pebble gives a pool up whose worker died with nothing to do
            logger.warning("the worker of %s died while idle and is replaced", device, extra={"action": "engine"})
            self._pools[device] = self._make_pool()
        future = self._pools[device].schedule(self._run, args=[spec, device], timeout=self._time_limit_s)
        self._running[device] = future

        def finished(ended: Future[JobOutcome]) -> None:
            stopped = Failure(ending=Ending.STOPPED, message="stopped with the node")
            outcome = stopped if self._stopping else _outcome(ended)
            del self._running[device]
            done(spec, outcome)

        future.add_done_callback(finished)

    def _make_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=worker.start,
            initargs=[self._log_level, os.getpid()],
        )

    def stop(self) -> None:
        """Kill every worker, with whatever it is doing."""
        self._stopping = True
        for pool in self._pools.values():
            pool.stop()
        for pool in self._pools.values():
            pool.join(timeout=10)


def _nothing() -> None:
    """Make the pool start its worker."""


def _outcome(ended: Future[JobOutcome]) -> JobOutcome | Failure:
    try:
        outcome: JobOutcome = ended.result()
    except FutureTimeoutError:
        return Failure(ending=Ending.TIME_LIMIT, message="ran past engine.time_limit_s and was killed")
    except ProcessExpired as error:
        return Failure(ending=Ending.WORKER_DIED, message=f"the worker died ({error})")
    except Exception as error:
        logger.warning("fault in a job", exc_info=error, extra={"action": "job"})
        return Failure(ending=Ending.FAULT, message=f"{type(error).__name__}: {error}")
    return outcome
