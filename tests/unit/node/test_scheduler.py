import errno
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from node.scheduler import BEAT, Scheduler, Stage


def test_a_wake_during_a_run_makes_it_run_again():
    plans, runs = [], []

    def run():
        runs.append(1)
        if len(runs) == 1:
            stage.wake(datetime.now(UTC))

    stage = Stage("test", run, plans.append)
    stage()
    assert len(runs) == 2
    assert len(plans) == 1


def test_a_stage_is_planned_for_when_it_is_due_but_never_later_than_the_beat():
    plans = []
    due = datetime.now(UTC) + timedelta(seconds=3)
    Stage("test", lambda: due, plans.append)()
    Stage("test", lambda: None, plans.append)()
    assert plans[0] == due
    assert abs(plans[1] - datetime.now(UTC) - BEAT) < timedelta(seconds=2)


def test_wakes_within_a_pause_are_one_and_an_earlier_wake_wins():
    plans = []
    stage = Stage("test", lambda: None, plans.append)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    stage.wake(soon)
    stage.wake(soon + timedelta(seconds=1))
    stage.wake(soon - timedelta(milliseconds=500))
    assert plans == [soon, soon - timedelta(milliseconds=500)]


def test_a_stage_that_fails_runs_again():
    plans = []
    Stage("test", lambda: 1 / 0, plans.append)()
    assert plans[0] - datetime.now(UTC) < timedelta(seconds=2)


def test_many_wakes_from_many_threads_are_never_lost():
    wanted, done = [0], threading.Event()
    seen = []

    def run():
        seen.append(wanted[0])
        if wanted[0] == 400:
            done.set()

    scheduler = Scheduler({"test": run})
    scheduler.start()

    def ask():
        for _ in range(100):
            with lock:
                wanted[0] += 1
            scheduler.wake("test")

    lock = threading.Lock()
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.wait(5)
    scheduler.stop()


def test_pauses_after_failures_grow_up_to_the_beat_and_begin_anew():
    plans, fails = [], [True] * 8 + [False, True]

    def run():
        if fails.pop(0):
            raise RuntimeError

    stage = Stage("test", run, lambda at: plans.append((at - datetime.now(UTC)).total_seconds()))
    while fails:
        stage()
    beat = BEAT.total_seconds()
    assert [round(s) for s in plans] == [*(min(2**n, beat) for n in range(8)), beat, 1]


def test_a_stage_that_just_failed_is_not_hastened_by_wakes():
    plans = []
    stage = Stage("test", lambda: 1 / 0, plans.append)
    stage()
    for _ in range(100):
        stage.wake(datetime.now(UTC))
    assert len(plans) == 1


def test_a_fault_of_the_machine_is_one_line_and_a_fault_of_ours_has_its_trace(caplog):
    caplog.set_level(logging.INFO)
    errors = [OSError(errno.ENOSPC, "x"), OSError(errno.ENOSPC, "x"), None, ZeroDivisionError()]
    told = []

    def run():
        if error := errors.pop(0):
            raise error

    stage = Stage("index", run, lambda _: None, on_failure=told.append)
    while errors:
        stage()
    assert [(r.levelname, bool(r.exc_info)) for r in caplog.records] == [
        ("ERROR", False),
        ("INFO", False),
        ("ERROR", True),
    ]
    assert "stage index waits: the disk is full; make room" in caplog.text
    assert len(told) == 3


def test_it_stops_while_a_stage_plans_its_next_run(monkeypatch):
    """APScheduler's own way to wait holds a lock that planning wants."""
    scheduler = Scheduler({"a": lambda: datetime.now(UTC)})
    real, planning = scheduler._scheduler.modify_job, threading.Event()

    def slow(*arguments, **values):
        planning.set()
        time.sleep(0.2)
        return real(*arguments, **values)

    monkeypatch.setattr(scheduler._scheduler, "modify_job", slow)
    scheduler.start()
    assert planning.wait(10)
    stopping = threading.Thread(target=scheduler.stop, daemon=True)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()
