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

from node.engine import Ending, Failure, LocalEngine
from node.worker import JobSpec
from tests.integration.engine_runs import by_pipeline_name


def spec(pipeline: str) -> JobSpec:
    return JobSpec(
        job_id=1,
        pipeline=pipeline,
        selection_hash="a" * 64,
        revision_number=1,
        created_at=datetime.now(UTC),
        paths=(),
        demographics_path=Path(),
        predecessors=(),
        storage=Path(),
        result_folder=Path(),
        weights=Path(),
        series_number=9500,
        series_description_prefix="AI",
    )


@pytest.fixture
def engine():
    engine = LocalEngine(devices=["cpu", "cuda:7"], time_limit_s=3, run=by_pipeline_name)
    engine.start()
    yield engine
    engine.stop()


def run(engine, pipeline, device="cpu"):
    ended, outcomes = threading.Event(), []

    def done(_spec, outcome):
        outcomes.append(outcome)
        ended.set()

    engine.submit(spec(pipeline), device, done)
    assert ended.wait(60)
    return outcomes[0]


def test_each_device_has_a_process_of_its_own_that_serves_many_jobs(engine):
    who = [run(engine, "who", device).refusal.code for device in ("cpu", "cuda:7", "cpu")]
    assert who[0] == who[2]
    assert who[0].split()[1] != who[1].split()[1]


def test_a_busy_device_is_not_free(engine):
    assert engine.free_device() == "cpu"
    engine.submit(spec("hang"), "cpu", lambda *_: None)
    assert engine.free_device() == "cuda:7"
    assert engine.busy


@pytest.mark.parametrize(
    ("pipeline", "ending"), [("hang", Ending.TIME_LIMIT), ("die", Ending.WORKER_DIED), ("fault", Ending.FAULT)]
)
def test_what_goes_wrong_in_a_worker_is_told_and_the_next_job_runs(engine, pipeline, ending):
    failure = run(engine, pipeline)
    assert isinstance(failure, Failure)
    assert failure.ending is ending
    assert failure.message
    assert run(engine, "who").refusal is not None


def test_stopping_kills_what_runs_and_blames_nobody(engine):
    outcomes = []
    workers = psutil.Process().children(recursive=True)
    engine.submit(spec("hang"), "cpu", lambda _spec, outcome: outcomes.append(outcome))
    engine.stop()
    assert all(outcome.ending is Ending.STOPPED for outcome in outcomes)
    assert not [p for p in psutil.wait_procs(workers, timeout=5)[1] if "spawn_main" in " ".join(p.cmdline())]


def test_workers_die_with_a_node_that_is_killed():
    script = (
        "from node.engine import LocalEngine\nimport time\n"
        "from tests.integration.engine_runs import by_pipeline_name\n"
        "from tests.integration.test_engine import run, spec\n"
        "engine = LocalEngine(devices=['cpu'], time_limit_s=60, run=by_pipeline_name)\n"
        "print(run(engine, 'who').refusal.code.split()[1], flush=True)\n"
        "engine.submit(spec('hang'), 'cpu', lambda *_: None)\n"
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
