"""Worker processes: one per device, replaced when they die, killed when they hang, gone with the node."""

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from node import engine as module
from node.ending import Ending, Failure
from node.engine import LocalEngine
from node.worker import JobSpec
from tests.integration.engine_runs import (
    by_pipeline_name,
    cannot_start,
    never_starts,
    returns_what_is_wrong,
    start,
)


def spec(pipeline: str, storage: Path = Path()) -> JobSpec:
    return JobSpec(
        job_id=1,
        pipeline=pipeline,
        selection_hash="a" * 64,
        revision_number=1,
        created_at=datetime.now(UTC),
        paths=(),
        storage=storage,
        result_folder=Path(),
        weights=Path(),
        series_number=9500,
        series_description_prefix="AI",
        demographics_path=Path(),
        predecessors=(),
    )


def make_engine(**options) -> LocalEngine:
    """Return an engine whose workers import nothing that costs time."""
    values = {"devices": ["cpu"], "time_limit_s": 2, "run": by_pipeline_name, "start": start} | options
    return LocalEngine(**values)


@pytest.fixture(scope="module")
def engine():
    engine = make_engine(devices=["cpu", "cuda:7"])
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def start_engine():
    """Start an engine of other options; it ends with the test."""
    started = []

    def start(**options) -> LocalEngine:
        started.append(make_engine(**options))
        started[-1].start()
        return started[-1]

    yield start
    for engine in started:
        engine.stop()


def run(engine, pipeline, device="cpu", storage=Path()):
    ended, outcomes = threading.Event(), []

    def done(_spec, outcome):
        outcomes.append(outcome)
        ended.set()

    engine.submit([spec(pipeline, storage)], device, done)
    assert ended.wait(60)
    return outcomes[0]


def test_each_device_has_a_process_of_its_own_that_serves_many_jobs(engine):
    who = [run(engine, "who", device).refusal.code for device in ("cpu", "cuda:7", "cpu")]
    assert who[0] == who[2]
    assert who[0].split()[1] != who[1].split()[1]


def test_a_busy_device_is_not_free(engine):
    ended = threading.Event()
    assert engine.free_device() == "cpu"
    engine.submit([spec("work")], "cpu", lambda *_: ended.set())
    assert engine.free_device() == "cuda:7"
    assert engine.busy
    assert ended.wait(60)


@pytest.mark.parametrize(
    ("pipeline", "ending", "words"),
    [
        ("hang", Ending.TIME_LIMIT, "engine.time_limit_s (2 s)"),
        ("hang-native", Ending.TIME_LIMIT, "was killed"),
        ("hang-deaf", Ending.TIME_LIMIT, "was killed"),
        ("die", Ending.WORKER_DIED, "ended itself with status 7"),
        ("die-well", Ending.WORKER_DIED, "the worker"),
        ("abort", Ending.WORKER_DIED, "the worker"),
        ("segfault", Ending.WORKER_DIED, "the worker"),
        ("killed", Ending.WORKER_DIED, "perhaps by the kernel for lack of memory"),
        ("fault", Ending.FAULT, "RuntimeError: the disk is on fire"),
        ("exit", Ending.FAULT, "SystemExit: 3"),
        ("unreadable", Ending.FAULT, "UnreadableError: 1 2"),
        ("unspeakable", Ending.FAULT, "Unspeakable"),
        ("no-room", Ending.NO_ROOM, "No space left"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_told_and_the_next_job_runs(engine, pipeline, ending, words):
    failure = run(engine, pipeline)
    assert isinstance(failure, Failure)
    assert failure.ending is ending
    assert words in failure.message
    assert run(engine, "who").refusal is not None


def test_a_worker_that_ends_as_if_all_were_well_right_after_its_start_is_told(start_engine):
    failure = run(start_engine(), "die-well")  # the worker is still starting when it gets the job
    assert (failure.ending, failure.message) == (Ending.WORKER_DIED, "the worker ended itself with status 0")


@pytest.mark.parametrize("kind", ["nothing", "lambda"])
def test_an_outcome_that_is_none_is_a_fault_and_the_next_job_runs(start_engine, kind):
    engine = start_engine(run=returns_what_is_wrong)
    for _ in range(2):
        assert run(engine, kind).ending is Ending.FAULT


def test_while_a_worker_is_killed_and_replaced_the_other_device_goes_on(engine):
    ended = threading.Event()
    engine.submit([spec("hang-deaf")], "cpu", lambda *_: ended.set())
    finished = 0
    while not ended.is_set():
        assert run(engine, "who", "cuda:7").refusal is not None
        finished += 1
    assert finished > 5


def test_a_worker_that_takes_too_much_memory_is_killed_with_numbers_and_a_remedy(start_engine):
    engine = start_engine(time_limit_s=60, memory_limit_mb=300)
    failure = run(engine, "eat")
    assert failure.ending is Ending.MEMORY_LIMIT
    assert failure.ending.is_death
    assert "more than engine.memory_limit_mb (300)" in failure.message
    assert "raise the limit" in failure.message
    assert run(engine, "who").refusal is not None


def test_the_kernel_would_take_a_worker_before_the_node(engine):
    pid = int(run(engine, "who").refusal.code.split()[1])
    ours, theirs = (int(Path(f"/proc/{p}/oom_score_adj").read_text()) for p in ("self", pid))
    assert theirs > ours


def test_what_a_killed_worker_had_started_ends_with_it(engine, tmp_path):
    run(engine, "hang-child", storage=tmp_path)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("start", "limit_s", "words"), [(cannot_start, 60, "could start"), (never_starts, 0.5, "took the job")]
)
def test_a_job_that_no_worker_takes_fails_and_is_not_blamed(monkeypatch, start_engine, start, limit_s, words):
    monkeypatch.setattr(module, "_START_LIMIT_S", 0.2)
    failure = run(start_engine(start=start, time_limit_s=limit_s), "who")
    assert failure.ending is Ending.FAULT
    assert f"no worker {words}" in failure.message


def test_stopping_kills_what_runs_and_blames_nobody(start_engine):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    engine = start_engine(time_limit_s=60)
    outcomes = []
    workers = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    engine.submit([spec("hang-deaf")], "cpu", lambda _spec, outcome: outcomes.append(outcome))
    engine.stop()
    assert all(outcome.ending is Ending.STOPPED for outcome in outcomes)
    assert not [p for p in psutil.wait_procs(workers, timeout=5)[1] if "spawn_main" in " ".join(p.cmdline())]


def test_workers_die_with_a_node_that_is_killed():
    script = (
        "import time\n"
        "from tests.integration.test_engine import make_engine, run, spec\n"
        "engine = make_engine(time_limit_s=60)\n"
        "print(run(engine, 'who').refusal.code.split()[1], flush=True)\n"
        "engine.submit([spec('hang')], 'cpu', lambda *_: None)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        helpers = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    gone, alive = psutil.wait_procs([worker, *helpers], timeout=10)
    assert not alive
    assert gone


def test_a_worker_that_dies_while_idle_is_replaced(engine):
    first = int(run(engine, "who").refusal.code.split()[1])
    psutil.Process(first).kill()
    time.sleep(1)  # pebble looks after its workers several times a second
    second = int(run(engine, "who").refusal.code.split()[1])
    assert second != first
    assert engine.free_device() == "cpu"
