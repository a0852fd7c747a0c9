"""APScheduler runs the stages: each on a slow beat, and at once when something wakes it.

A stage is a function that does what is due and says when the next thing will be.
"""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from db.faults import Trouble

logger = logging.getLogger(__name__)

BEAT = timedelta(seconds=5)
"""How often a stage runs when nothing wakes it: for what another process did, such as `opacity-node resolve`."""
AFTER_FAILURE = timedelta(seconds=1)
"""Doubled after each failure in a row, up to the beat."""

RunStage = Callable[[], datetime | None]


class Stage:
    """A function that runs one at a time and never misses a wake.

    Parameters
    ----------
    name : str
        For logs and the scheduler.
    run : callable
        Does what is due; returns when the next thing is, or None.
    plan : callable
        Told when the stage is to run next.
    on_failure : callable
        Told of what the function raised; must return at once.
    """

    def __init__(
        self,
        name: str,
        run: RunStage,
        plan: Callable[[datetime], None],
        on_failure: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._run = run
        self._plan = plan
        self._on_failure = on_failure
        # Plans are made under the lock: one made for a later time can never undo a wake.
        self._lock = threading.Lock()
        self._running = False
        self._again = False
        self._planned: datetime | None = None
        self._failures = 0
        self._trouble = Trouble(f"stage {name} waits", logger)

    def wake(self, at: datetime) -> None:
        """Have the stage run then, or earlier; one that just failed runs after its pause."""
        with self._lock:
            if self._running:
                self._again = True
            elif self._planned is None or (at < self._planned and not self._failures):
                self._planned = at
                self._plan(at)

    def __call__(self) -> None:
        """Run, and again while wakes came in during the run."""
        with self._lock:
            if self._running:
                self._again = True
                return
            self._running, self._again = True, False
        while True:
            due = self._guarded_run()
            with self._lock:
                if self._again and not self._failures:
                    self._again = False
                    continue
                self._running = False
                self._planned = min(due or datetime.max.replace(tzinfo=UTC), datetime.now(UTC) + BEAT)
                self._plan(self._planned)
                return

    def _guarded_run(self) -> datetime | None:
        try:
            due = self._run()
        except Exception as error:  # a stage that ended for good would be work that nobody does any more
            if not self._trouble.met(error):
                logger.exception("stage %s failed and will run again", self.name, extra={"action": self.name})
            self._failures += 1
            self._on_failure(error)
            return datetime.now(UTC) + AFTER_FAILURE * (1 << min(self._failures - 1, 10))
        self._failures = 0
        self._trouble.end()
        return due


class _Threads(BasePoolExecutor):  # type: ignore[misc]  # apscheduler ships no types
    """Has APScheduler use threads that we can wait for.

    It waits for its own while it holds a lock that a stage may want before it ends.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__(pool)


class Scheduler:
    """Runs stages.

    Parameters
    ----------
    stages : Mapping[str, callable]
        By name.
    on_failure : callable
        Told of every exception of a stage; must return at once.
    """

    def __init__(
        self, stages: Mapping[str, RunStage], *, on_failure: Callable[[Exception], None] = lambda _: None
    ) -> None:
        self._stages = {
            name: Stage(name, run, functools.partial(self._plan, name), on_failure) for name, run in stages.items()
        }
        # Two threads a stage: a run that is planned as another ends must find one free.
        self._threads = ThreadPoolExecutor(2 * len(stages), thread_name_prefix="stage")
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": _Threads(self._threads)},
            job_defaults={"coalesce": True, "max_instances": 2, "misfire_grace_time": None},
        )
        logging.getLogger("apscheduler").setLevel(logging.WARNING)

    def start(self) -> None:
        """Start the beat; every stage runs once at once."""
        for name, stage in self._stages.items():
            self._scheduler.add_job(
                stage, "interval", seconds=BEAT.total_seconds(), id=name, next_run_time=datetime.now(UTC)
            )
        self._scheduler.start()

    def wake(self, name: str, *, in_s: float = 0.0) -> None:
        """Run a stage soon; returns at once. Wakes within the pause are one."""
        self._stages[name].wake(datetime.now(UTC) + timedelta(seconds=in_s))

    def stop(self) -> None:
        """Let the runs under way end and start no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._threads.shutdown(wait=True)

    def _plan(self, name: str, at: datetime) -> None:
        if self._scheduler.running:
            with contextlib.suppress(JobLookupError):  # it was stopped just now
                self._scheduler.modify_job(name, next_run_time=max(at, datetime.now(UTC)))
