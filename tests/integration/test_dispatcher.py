"""What the dispatcher does when the engine or the database fails it."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from db import schema
from db.files import Storage
from db.models import Job
from db.repository import jobs
from db.session import Database
from db.states import JobState
from inference.compute import Limits, Precision
from node.config import Config
from node.dispatcher import Dispatcher
from node.ending import Ending, Failure
from node.engine import LocalEngine
from node.scheduler import Stage
from node.sections import EngineSettings
from node.worker import JobOutcome, ResultFile
from tests.integration import engine_runs
from tests.integration.engine_runs import by_pipeline_name
from tests.rows import new_job, settled_study

NOW = datetime.now(UTC)


class FakeEngine:
    """An engine of one device whose runs end when the test says so."""

    def __init__(self):
        self.running = None
        self.broken = False

    def free_device(self):
        return None if self.running else "cpu"

    def submit(self, specs, _device, done):
        if self.broken:
            raise RuntimeError("no worker")
        self.running = (*specs, done)

    def end(self, outcome):
        (spec, done), self.running = self.running, None
        done(spec, outcome)


@pytest.fixture
def office(tmp_path):
    storage = Storage(tmp_path)
    storage.prepare()
    database = Database(f"sqlite:///{storage.database}")
    schema.upgrade(database)
    with database.write() as session:
        settled_study(session, NOW, *(new_job(selection_hash=str(n), destinations=("pacs",)) for n in range(2)))
    engine = FakeEngine()
    dispatcher = Dispatcher(database=database, storage=storage, engine=engine, config=Config(), on_ended=lambda: None)
    yield dispatcher, engine, database
    database.close()


class FakeGPU:
    """An engine of one GPU whose runs end when the test says so."""

    def __init__(self):
        self.specs, self.done, self.device = (), None, "cuda:0"

    def free_device(self):
        return None if self.specs else self.device

    def submit(self, specs, _device, done):
        self.specs, self.done = specs, done

    def end(self, *outcomes):
        specs, self.specs = self.specs, ()
        for spec, each in zip(specs, outcomes, strict=True):
            self.done(spec, replace(each, results=()) if isinstance(each, JobOutcome) else each)


@pytest.fixture
def crowd(tmp_path):
    """Five queued jobs, of which the third is of another pipeline."""
    storage = Storage(tmp_path)
    storage.prepare()
    database = Database(f"sqlite:///{storage.database}")
    schema.upgrade(database)
    with database.write() as session:
        jobs = [new_job(selection_hash=str(n), pipeline="q" if n == 2 else "p") for n in range(5)]
        settled_study(session, NOW, *jobs)
    engine = FakeGPU()
    yield (
        Dispatcher(database=database, storage=storage, engine=engine, config=Config(), on_ended=lambda: None),
        engine,
        database,
    )
    database.close()


def states(database):
    with database.read() as session:
        return list(session.scalars(select(Job.state).order_by(Job.id)))


def outcome(sha256="a" * 64):
    file = ResultFile(
        kind="sr",
        sop_instance_uid="1.9",
        sop_class_uid="1.2",
        series_instance_uid="1.3",
        path="results/x",
        size=1,
        sha256=sha256,
        device_uid="2.25.7",
    )
    return JobOutcome(results=(file,))


def test_jobs_run_one_after_another_on_one_device(office):
    dispatcher, engine, database = office
    dispatcher.run()
    assert states(database) == [JobState.RUNNING, JobState.QUEUED]
    engine.end(outcome())
    assert states(database) == [JobState.SUCCEEDED, JobState.QUEUED]


def test_what_is_loaded_is_kept_while_another_queued_job_reads_the_same_stack(office):
    dispatcher, engine, _ = office
    dispatcher.run()
    assert engine.running[0].keeps_selection
    engine.end(outcome())
    dispatcher.run()
    assert not engine.running[0].keeps_selection


@pytest.fixture
def three_at_once(monkeypatch):
    card = SimpleNamespace(at_once=3)
    monkeypatch.setattr("node.dispatcher.CARDS", {"p": card})


def test_a_gpu_gets_waiting_jobs_of_one_pipeline_together_and_each_its_own_end(crowd, three_at_once):
    dispatcher, engine, database = crowd
    dispatcher.run()
    assert [spec.job_id for spec in engine.specs] == [1, 2, 4]
    engine.end(outcome(), Failure(ending=Ending.FAULT, message="broken"), outcome())
    assert states(database) == [
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.QUEUED,
        JobState.SUCCEEDED,
        JobState.QUEUED,
    ]


def test_a_cpu_gets_one_job_at_a_time(crowd, three_at_once):
    dispatcher, engine, _ = crowd
    engine.device = "cpu"
    dispatcher.run()
    assert [spec.job_id for spec in engine.specs] == [1]


def test_jobs_that_died_together_are_tried_again_alone(crowd, three_at_once):
    dispatcher, engine, database = crowd
    dispatcher.run()
    engine.end(*[Failure(ending=Ending.WORKER_DIED, message="killed")] * 3)
    with database.write() as session:
        for job in session.scalars(select(Job).where(Job.state == JobState.FAILED)):
            job.not_before = NOW
        session.execute(update(Job).where(Job.attempts == 0).values(ranks_at=NOW + timedelta(days=1)))
    dispatcher.run()
    assert [spec.job_id for spec in engine.specs] == [1]


def test_a_job_is_told_the_settings_of_its_pipeline_and_what_networks_may_take(office):
    dispatcher, engine, _ = office
    with_settings = Config().model_copy(
        update={
            "engine": EngineSettings(precision="float32", models_mb=1, gpu_memory_mb=2, cpu_fallback=False),
            "pipelines": {"p": {"a": 1.0}, "another": {"b": 2.0}},
        }
    )
    dispatcher.reload(with_settings)
    dispatcher.run()
    spec = engine.running[0]
    assert spec.settings == {"a": 1.0}
    assert spec.limits == Limits(precision=Precision.FLOAT32, models_mb=1, gpu_memory_mb=2, cpu_fallback=False)


def test_an_engine_that_cannot_start_a_job_leaves_none_running(office):
    dispatcher, engine, database = office
    engine.broken = True
    for _ in range(3):
        dispatcher.run()
    assert JobState.RUNNING not in states(database)
    engine.broken = False
    with database.write() as session:
        for job in session.scalars(select(Job)):
            job.not_before = NOW
    dispatcher.run()
    assert JobState.RUNNING in states(database)


def test_a_job_that_is_due_again_while_no_device_is_free_waits_for_one_and_keeps_nobody_busy(office):
    dispatcher, engine, database = office
    with database.write() as session:
        job = session.get_one(Job, 2)
        job.state, job.attempts, job.not_before = JobState.FAILED, 1, NOW - timedelta(seconds=1)
        job.ranks_at = NOW + timedelta(days=1)
    passes = []

    def run():
        passes.append(engine.running)
        return dispatcher.run()

    stage = Stage("dispatch", run, lambda _at: None)
    stage()
    assert engine.running[0].job_id == 1
    assert dispatcher.run() is None
    engine.end(outcome())
    dispatcher.run()
    assert engine.running[0].job_id == 2
    assert len(passes) == 1


def test_no_end_is_lost_that_comes_while_others_are_recorded_again(office, monkeypatch):
    """Every end fails to be recorded; runs in one thread take up what ends in others put down."""
    dispatcher, _, _ = office
    monkeypatch.setattr(dispatcher, "_record_failure", lambda *_: 1 / 0)
    monkeypatch.setattr(dispatcher, "_trouble", SimpleNamespace(met=lambda _: True))
    ends = [(SimpleNamespace(job_id=number), Failure(ending=Ending.FAULT, message="")) for number in range(2000)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            for half in (ends[::2], ends[1::2]):
                pool.submit(lambda half=half: [dispatcher._conclude(*end) for end in half])
            for _ in range(5):
                dispatcher.run()
    finally:
        sys.setswitchinterval(interval)
    recorded = []
    monkeypatch.setattr(dispatcher, "_record_failure", lambda spec, _: recorded.append(spec.job_id))
    monkeypatch.setattr(dispatcher, "_trouble", SimpleNamespace(end=lambda: None))
    dispatcher.run()
    assert sorted(recorded) == list(range(2000))


def test_an_end_that_cannot_be_recorded_is_recorded_later(office, monkeypatch):
    dispatcher, engine, database = office

    def locked(*_, **__):
        raise OperationalError("update", {}, Exception("database is locked"))

    dispatcher.run()
    monkeypatch.setattr(jobs, "succeed", locked)
    engine.end(outcome())
    assert states(database)[0] is JobState.RUNNING
    monkeypatch.undo()
    assert dispatcher.run() is not None or states(database)[0] is JobState.SUCCEEDED
    assert states(database)[0] is JobState.SUCCEEDED


def test_an_object_with_other_bytes_under_a_known_uid_fails_its_job_for_good(office):
    dispatcher, engine, database = office
    dispatcher.run()
    engine.end(outcome())
    dispatcher.run()
    engine.end(outcome("b" * 64))
    assert states(database) == [JobState.SUCCEEDED, JobState.FAILED]
    assert dispatcher.run() is None


def test_a_worker_that_dies_twice_quarantines_its_job(office):
    dispatcher, engine, database = office
    for _ in range(2):
        with database.write() as session:
            for job in session.scalars(select(Job).where(Job.id == 2)):
                job.state = JobState.HELD
            for job in session.scalars(select(Job).where(Job.id == 1)):
                job.not_before = NOW
        dispatcher.run()
        engine.end(Failure(ending=Ending.WORKER_DIED, message="killed"))
    assert states(database)[0] is JobState.QUARANTINED


def test_pipelines_that_hang_eat_or_crash_are_quarantined_and_the_queue_goes_on(tmp_path):
    """One device; the bad jobs come first, each is tried twice, and the good ones of the queue run."""
    bad, good = ("hang-native", "eat", "abort"), 3
    storage = Storage(tmp_path)
    storage.prepare()
    database = Database(f"sqlite:///{storage.database}")
    schema.upgrade(database)
    with database.write() as session:
        names = (*bad, *("work" for _ in range(good)))
        settled_study(session, NOW, *(new_job(selection_hash=str(n), pipeline=p) for n, p in enumerate(names)))
    settings = EngineSettings(time_limit_s=3, memory_limit_mb=300, retry_after_s=0.1, max_attempts=3)
    engine = LocalEngine(
        devices=["cpu"], time_limit_s=3, memory_limit_mb=300, run=by_pipeline_name, start=engine_runs.start
    )
    wake = threading.Event()
    dispatcher = Dispatcher(
        database=database, storage=storage, engine=engine, config=Config(engine=settings), on_ended=wake.set
    )
    engine.start()
    try:
        deadline = time.monotonic() + 120
        while set(states(database)) & {JobState.QUEUED, JobState.RUNNING, JobState.FAILED}:
            assert time.monotonic() < deadline
            dispatcher.run()
            wake.wait(0.2)
            wake.clear()
    finally:
        engine.stop()
    with database.read() as session:
        jobs = session.scalars(select(Job).order_by(Job.id)).all()
    database.close()
    assert [j.state for j in jobs] == [JobState.QUARANTINED] * len(bad) + [JobState.SUCCEEDED] * good
    assert [(j.attempts, j.worker_deaths) for j in jobs[: len(bad)]] == [(2, 2)] * len(bad)
    assert [j.code for j in jobs[: len(bad)]] == ["time-limit", "memory-limit", "worker-died"]


def test_a_job_without_room_for_its_results_is_tried_again_and_not_blamed(office):
    dispatcher, engine, database = office
    for _ in range(5):
        with database.write() as session:
            session.get_one(Job, 2).state = JobState.HELD
            session.get_one(Job, 1).not_before = NOW
        dispatcher.run()
        engine.end(Failure(ending=Ending.NO_ROOM, message="OSError: No space left on device"))
    with database.read() as session:
        job = session.get_one(Job, 1)
    assert (job.state, job.attempts, job.code) == (JobState.FAILED, 0, "no-room")
    assert job.not_before > datetime.now(UTC)


def test_the_end_of_a_job_that_no_row_knows_is_dropped(office, caplog):
    dispatcher, engine, database = office
    dispatcher.run()
    with database.write() as session:
        session.delete(session.get_one(Job, 1))
    engine.end(Failure(ending=Ending.FAULT, message="x"))
    dispatcher.run()
    assert "job 1 is in the database no more" in caplog.text
    assert "Traceback" not in caplog.text
