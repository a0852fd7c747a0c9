"""Where a job runs: one spawned process per device, replaced when it died, killed when it hangs or takes too much.

The pool is pebble's: unlike the standard library's it can end a task that does not end itself.
"""

import contextlib
import functools
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from typing import Any

import psutil
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from node import worker, worker_process
from node.ending import Ending, Failure, Run, run_contained, words_for_death
from node.worker import JobOutcome, JobSpec

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_START_LIMIT_S = 120.0
"""A worker imports torch before its first job."""

Done = Callable[[JobSpec, JobOutcome | Failure], None]
Outcomes = Sequence[JobOutcome | Failure] | Failure
"""Of each job, or why the worker gave none."""


class LocalEngine:
    """Worker processes on this machine.

    Parameters
    ----------
    devices : sequence of str
        Torch devices; each gets one process.
    time_limit_s : float
        After which a run is killed.
    memory_limit_mb : int
        Resident memory of a worker and its children, above which it is killed; 0 sets no limit.
    log_level : str
        Of the workers.
    run : callable
        What a worker does with a job; importable by name.
    start : callable
        What a worker does first; importable by name.
    """

    def __init__(
        self,
        *,
        devices: Sequence[str],
        time_limit_s: float,
        memory_limit_mb: int = 0,
        log_level: str = "INFO",
        run: Run = worker.run,
        start: Callable[[str, int, Any], None] = worker_process.start,
    ) -> None:
        self._run = run
        self._seats = {
            device: _Seat(
                device,
                functools.partial(start, log_level, os.getpid()),
                time_limit_s=time_limit_s,
                memory_limit_mb=memory_limit_mb,
            )
            for device in devices
        }
        self._stopping = threading.Event()
        self._guard = threading.Thread(target=self._watch, name="engine-guard", daemon=True)

    def start(self) -> None:
        """Start every worker, so that its imports are paid before the first job."""
        for seat in self._seats.values():
            seat.warm_up()
        self._guard.start()

    def free_device(self) -> str | None:
        """Return a device with nothing to do."""
        return next((device for device, seat in self._seats.items() if not seat.busy), None)

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return any(seat.busy for seat in self._seats.values())

    def submit(self, specs: Sequence[JobSpec], device: str, done: Done) -> None:
        """Run a job, or several of one pipeline together, on a free device.

        `done` is called for each from another thread when all ended; perhaps not if the engine was stopped before.
        """

        def finished(outcomes: Outcomes) -> None:
            stopped = Failure(ending=Ending.STOPPED, message="stopped with the node")
            ended = [outcomes] * len(specs) if isinstance(outcomes, Failure) else outcomes
            for spec, outcome in zip(specs, ended, strict=True):
                done(spec, stopped if self._stopping.is_set() else outcome)

        self._seats[device].submit(self._run, specs, finished)

    def stop(self) -> None:
        """Kill every worker, with whatever it is doing and has started."""
        self._stopping.set()
        for seat in self._seats.values():
            seat.close()
        if self._guard.is_alive():
            self._guard.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            for seat in self._seats.values():
                try:
                    seat.enforce_limits()
                except Exception:  # one worker that cannot be watched must not end the watch over the others
                    logger.exception("the worker of %s cannot be watched", seat.device, extra={"action": "engine"})


class _Seat:
    """A device and the worker that sits at it."""

    def __init__(self, device: str, start: Callable[[Any], None], *, time_limit_s: float, memory_limit_mb: int) -> None:
        self.device = device
        self._start = start
        self._time_limit_s = self._limit_s = time_limit_s
        self._memory_limit_mb = memory_limit_mb
        self._lock = threading.Lock()
        self._job: ProcessFuture[bytes] | None = None
        self._worker_pid = 0
        self._starts_expected = 0
        self._submitted_at = 0.0
        self._verdict: Failure | None = None
        self._open()

    @property
    def busy(self) -> bool:
        """Whether a job is running here."""
        return self._job is not None

    def warm_up(self) -> None:
        """Start the worker."""
        self._pool.schedule(_nothing)

    def submit(self, run: Run, specs: Sequence[JobSpec], finished: Callable[[Outcomes], None]) -> None:
        """Run jobs, one after the other."""
        if not self._pool.active:  # pebble gives a pool up whose worker died with nothing to do
            logger.warning("the worker of %s died while idle and is replaced", self.device, extra={"action": "engine"})
            self.close()
            self._open()
        with self._lock:
            self._worker_pid, self._verdict = self._living_worker(), None
            self._starts_expected = self._starts.value + (0 if _lives(self._begun_pid.value) else 1)
            self._submitted_at, self._limit_s = time.monotonic(), self._time_limit_s * len(specs)
            self._job = job = self._pool.schedule(
                run_contained, args=[run, tuple(specs), self.device], timeout=self._limit_s
            )

        def ended(future: Future[bytes]) -> None:
            outcomes = self._outcomes(future)
            if isinstance(outcomes, Failure) and outcomes.ending.is_death and self._verdict is None:
                self._kill_what_it_started(self._pid.value)
            self._job = None
            finished(outcomes)

        job.add_done_callback(ended)

    def enforce_limits(self) -> None:
        """Kill the worker if its job takes too much memory, or if there is no worker that takes the job."""
        with self._lock:
            job = self._job
            if job is None or self._verdict is not None:
                return
            if job.running() and not self._worker_pid:
                self._worker_pid = self._living_worker()
            self._verdict = self._replaced(job) or self._over_memory() or self._without_worker()
            if self._verdict is None:
                return
            if self._verdict.ending is Ending.MEMORY_LIMIT:
                self._kill_what_it_started(self._pid.value)  # pebble sees that it died
                return
        job.cancel()  # its callback runs now

    def close(self) -> None:
        """Kill the worker and what it started."""
        self._pool.stop()
        self._pool.join()
        self._kill_what_it_started(self._pid.value)

    def _open(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pid, self._begun_pid, self._pid_before, self._starts = (context.RawValue(c_int, 0) for _ in range(4))
        self._pool = ProcessPool(
            max_workers=1,
            context=context,
            initializer=_begin,
            initargs=[self._start, self._pid, self._begun_pid, self._pid_before, self._starts],
        )

    def _over_memory(self) -> Failure | None:
        if not self._memory_limit_mb or not self._worker_pid:
            return None
        used_mb = _resident_bytes(self._worker_pid) / 1e6
        if used_mb <= self._memory_limit_mb:
            return None
        return Failure(
            ending=Ending.MEMORY_LIMIT,
            message=f"the worker held {used_mb:.0f} MB, more than engine.memory_limit_mb ({self._memory_limit_mb}), "
            "and was killed; raise the limit if the machine has the memory",
        )

    def _living_worker(self) -> int:
        pid: int = self._pid.value
        return pid if _lives(pid) else 0

    def _replaced(self, job: ProcessFuture[bytes]) -> Failure | None:
        # Pebble reports a worker that died, except one that ended as if all were well: that one it only replaces.
        if not job.running() or self._starts.value <= self._starts_expected:
            return None
        self._kill_what_it_started(self._pid_before.value)
        return Failure(ending=Ending.WORKER_DIED, message="the worker ended itself with status 0")

    def _without_worker(self) -> Failure | None:
        if time.monotonic() - self._submitted_at < self._limit_s + _START_LIMIT_S:
            return None
        self._pool.stop()  # replaced before the next job
        return Failure(
            ending=Ending.FAULT,
            message=f"no worker took the job within {_START_LIMIT_S:.0f} s of its start",
        )

    def _kill_what_it_started(self, worker_pid: int) -> None:
        """Kill a worker's process group: the worker, if it lives, and every child of it."""
        if worker_pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker_pid, signal.SIGKILL)

    def _outcomes(self, ended: Future[bytes]) -> Outcomes:
        try:
            outcomes: list[JobOutcome | Failure] = pickle.loads(ended.result())  # noqa: S301 - our worker's bytes
        except FutureTimeoutError:
            return self._verdict or Failure(
                ending=Ending.TIME_LIMIT,
                message=f"ran past engine.time_limit_s ({self._limit_s:.0f} s) and was killed",
            )
        except ProcessExpired as error:
            return self._verdict or Failure(ending=Ending.WORKER_DIED, message=words_for_death(error))
        except BrokenProcessPool:
            return self._verdict or self._broken()
        except BaseException as error:  # noqa: BLE001 - a job that was cancelled, with a verdict
            return self._verdict or Failure(ending=Ending.FAULT, message=f"{type(error).__name__}: {error}")
        return outcomes

    def _broken(self) -> Failure:
        """Say what it means that the pool gave up: its worker died before it was known to have taken the job."""
        if self._pid.value:
            return Failure(ending=Ending.WORKER_DIED, message="the worker died as the job began")
        return Failure(ending=Ending.FAULT, message="no worker could start; the log says why")


def _begin(start: Callable[[Any], None], pid: Any, begun_pid: Any, pid_before: Any, starts: Any) -> None:  # noqa: ANN401 - ctypes
    """Count this worker before its imports, and start it."""
    pid_before.value = begun_pid.value
    starts.value += 1  # first: a worker that is counted and not yet named is at worst missed
    begun_pid.value = os.getpid()
    start(pid)


def _lives(pid: int) -> bool:
    return pid > 0 and psutil.pid_exists(pid)


def _nothing() -> None:
    """Make the pool start its worker."""


def _resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children; what ended meanwhile holds none."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total
