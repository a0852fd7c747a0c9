"""From a refusal to the notice that a PACS shows: worker, database, Orthanc."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from db import schema
from db.files import Storage
from db.models import Delivery, Job, Result
from db.repository import jobs
from db.repository.jobs import NewResult, UnequalResultError
from db.session import Database
from db.states import DeliveryState, JobState
from dicom_out.association import Peer
from inference.findings import Refusal
from node.config import Config
from node.dispatcher import Dispatcher
from node.study_files import send_files
from node.worker import JobOutcome, JobSpec, ResultFile, run
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.rows import new_job, settled_study
from tests.validators import dciodvfy_errors

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
KNOWN = Refusal(code="nothing-fits", reason="None of the 2 stacks fits.", remedy="Send the chest.")


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("chest"),
        to_datasets(make_chest(slices=12, rows=64, columns=64, spacing_mm=(20.0, 5.5, 5.5))),
    )


@pytest.fixture
def spec(tmp_path, chest):
    def make(**changes):
        values = {
            "job_id": 1,
            "pipeline": "lung-densitometry",
            "selection_hash": "a" * 64,
            "revision_number": 1,
            "created_at": NOW,
            "paths": tuple(chest),
            "demographics_path": chest[0],
            "predecessors": (),
            "storage": tmp_path,
            "result_folder": tmp_path.relative_to(tmp_path) / "results",
            "weights": tmp_path,
            "series_number": 9500,
            "series_description_prefix": "AI",
            "notices": True,
        }
        return JobSpec(**(values | changes))

    return make


def test_a_pipeline_that_refuses_leaves_a_notice_where_one_is_wanted(spec, tmp_path):
    told, silent = run(spec(), "cpu"), run(spec(notices=False), "cpu")
    assert told.refusal == silent.refusal
    assert told.refusal.code == "slice-thickness"
    assert silent.results == ()
    (file,) = told.results
    assert dciodvfy_errors(tmp_path / file.path) == []
    assert told.refusal.reason.split(";")[0] in (tmp_path / file.path).read_bytes().decode("latin-1")


def test_what_is_known_before_the_start_runs_nothing_and_a_second_run_writes_the_same(spec, tmp_path, monkeypatch):
    from inference import registry, series

    monkeypatch.setattr(registry, "load", pytest.fail)
    monkeypatch.setattr(series, "load", pytest.fail)
    first = run(spec(refusal=KNOWN), "cpu")
    assert first.refusal == KNOWN
    assert run(spec(refusal=KNOWN), "cpu").results == first.results


def test_orthanc_takes_a_notice_into_the_study_and_shows_what_it_says(spec, tmp_path, chest, orthanc):
    (file,) = run(spec(refusal=KNOWN), "cpu").results
    peer = Peer(host=orthanc.host, port=orthanc.port, ae_title=orthanc.ae_title, our_ae_title="TEST")
    assert send_files([chest[0], tmp_path / file.path], peer).stored == 2
    orthanc.wait_for_instances(2)
    (study,) = orthanc.rest("GET", "/studies?expand")
    assert len(study["Series"]) == 2
    shown = json.dumps([orthanc.tags(instance) for instance in orthanc.instances()])
    assert "did not run on these images and measured nothing. None of the 2 stacks fits." in shown
    assert "Send the chest." in shown


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    schema.upgrade(database)
    yield database
    database.close()


def file(sha256="a" * 64):
    return NewResult(
        kind="notice",
        sop_instance_uid="1.9",
        sop_class_uid="1.2",
        series_instance_uid="1.3",
        path="results/x",
        size=1,
        sha256=sha256,
        device_uid="2.25.7",
    )


def test_refusal_notice_and_deliveries_are_recorded_together_or_not_at_all(database):
    with database.write() as session:
        settled_study(session, NOW, new_job(), new_job(selection_hash="b" * 64))
        jobs.refuse(session, 1, now=NOW, code="gap", message="a gap", results=[file()])
    with pytest.raises(UnequalResultError), database.write() as session:
        jobs.refuse(session, 2, now=NOW, code="gap", message="a gap", results=[file("b" * 64)])
    with database.read() as session:
        assert list(session.scalars(select(Job.state).order_by(Job.id))) == [JobState.REFUSED, JobState.QUEUED]
        assert session.scalars(select(Result)).one().kind == "notice"
        deliveries = session.scalars(select(Delivery)).all()
    assert {(d.destination, d.state) for d in deliveries} == {
        ("one", DeliveryState.PENDING),
        ("two", DeliveryState.PENDING),
    }


class EngineOfOneJob:
    """Takes a job, which ends when the test says so."""

    def __init__(self):
        self.running = None

    def free_device(self):
        return None if self.running else "cpu"

    def submit(self, specs, _device, done):
        self.running = (*specs, done)


def test_the_worker_is_told_what_is_known_before_the_start_and_its_notice_is_recorded(tmp_path, database):
    storage = Storage(tmp_path / "storage")
    storage.prepare()
    known = {"code": KNOWN.code, "reason": KNOWN.reason, "remedy": KNOWN.remedy}
    with database.write() as session:
        settled_study(session, NOW, new_job(notices=True, refusal=known))
    engine = EngineOfOneJob()
    Dispatcher(database=database, storage=storage, engine=engine, config=Config(), on_ended=lambda: None).run()
    spec, done = engine.running
    assert spec.notices
    assert spec.refusal == KNOWN
    done(spec, JobOutcome(refusal=KNOWN, results=(ResultFile(**asdict(file())),)))
    with database.read() as session:
        job = session.get_one(Job, 1)
        assert (job.state, job.code, job.message) == (JobState.REFUSED, KNOWN.code, str(KNOWN))
        assert {(d.destination, d.state.value) for d in session.scalars(select(Delivery))} == {
            ("one", "pending"),
            ("two", "pending"),
        }


def test_a_notice_of_a_job_that_a_later_revision_replaced_is_kept_and_not_sent(database):
    with database.write() as session:
        settled_study(session, NOW, new_job(), new_job(selection_hash="b" * 64))
        session.get_one(Job, 1).superseded_by_id = 2
        jobs.refuse(session, 1, now=NOW, code="gap", message="a gap", results=[file()])
        assert {d.state for d in session.scalars(select(Delivery))} == {DeliveryState.CANCELLED}
