"""A job without its weights is refused with the command; the rest runs, and it runs when they are there."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db import schema
from db.files import Storage
from db.models import Job
from db.repository import jobs, starting
from db.session import Database
from db.states import JobState
from inference import registry
from inference.findings import Refusal
from node.app import Node
from node.cli import app
from node.config import load
from node.demo.harness import free_port
from node.worker import JobSpec, run
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests import slots
from tests.rows import new_job, settled_study
from tests.slots import pinned
from tests.validators import dciodvfy_errors

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """A chest that no pipeline reads: its slices are too thick."""
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
            "result_folder": Path("results"),
            "weights": tmp_path / "weights",
            "series_number": 9500,
            "series_description_prefix": "AI",
            "notices": True,
        }
        return JobSpec(**(values | changes))

    return make


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Let the one pipeline that there is need weights."""
    slot = {"name": "toy", "url": "https://example.org/toy.pth", "pin": pinned(b"right"), "size": 5}
    slots.declare(monkeypatch, slot | {"required_by": ["lung-densitometry"]})
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights" / "toy.pth"


def test_a_job_without_its_weights_is_refused_with_the_command_and_a_notice(spec, toy, tmp_path):
    outcome = run(spec(), "cpu")
    assert outcome.refusal.code == "weights-missing"
    assert "opacity-node models fetch toy), then run what was refused" in outcome.refusal.remedy
    (file,) = outcome.results
    assert file.kind == "notice"
    assert dciodvfy_errors(tmp_path / file.path) == []
    assert b"opacity-node models fetch toy" in (tmp_path / file.path).read_bytes()


def test_a_job_with_wrong_weights_is_refused_and_nothing_is_deleted(spec, toy):
    toy.write_bytes(b"wrong")
    outcome = run(spec(notices=False), "cpu")
    assert outcome.refusal.code == "weights-wrong"
    assert outcome.results == ()
    assert toy.read_bytes() == b"wrong"


def test_other_pipelines_of_the_study_run_in_the_same_worker(spec, toy, monkeypatch):
    class Other:
        def __init__(self, weights):
            pass

        def accepts(self, _series):
            return Refusal(code="it-ran", reason="It ran.", remedy="")

    monkeypatch.setitem(registry._PIPELINES, "other", Other)
    monkeypatch.setattr(registry, "CARDS", {**registry.CARDS, "other": registry.CARDS["lung-densitometry"]})
    assert run(spec(notices=False), "cpu").refusal.code == "weights-missing"
    assert run(spec(pipeline="other", notices=False), "cpu").refusal.code == "it-ran"
    toy.write_bytes(b"right")
    assert run(spec(notices=False), "cpu").refusal.code == "slice-thickness"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(f"[dicom]\nport = {free_port()}\n")
    return load()


def test_the_node_says_at_its_start_what_a_rule_lacks(toy, config, caplog):
    node = Node(config)
    node.start()
    node.stop()
    (warning,) = [r for r in caplog.records if getattr(r, "action", "") == "weights"]
    assert warning.levelname == "WARNING"
    assert "with the weights toy missing" in warning.getMessage()
    assert "opacity-node models fetch toy" in warning.getMessage()


def test_refused_jobs_run_again_when_their_weights_are_there_and_not_before(toy, config):
    Storage(config.storage.path).prepare()
    database = Database(f"sqlite:///{Storage(config.storage.path).database}")
    schema.upgrade(database)
    with database.write() as session:
        wanting, other = settled_study(
            session, NOW, new_job(pipeline="lung-densitometry"), new_job(selection_hash="b" * 64)
        )
        for job, code in ((wanting, "weights-missing"), (other, "slice-thickness")):
            starting.start_next(session, device="cpu", now=NOW)
            jobs.refuse(session, job, now=NOW, code=code, message="")
    done = CliRunner().invoke(app, ["models", "rerun"])
    assert done.exit_code == 0
    assert "0 of 1 job refused" in done.output
    assert "opacity-node models fetch toy" in done.output
    toy.write_bytes(b"right")
    assert "1 of 1 job refused" in CliRunner().invoke(app, ["models", "rerun"]).output
    with database.read() as session:
        assert [session.get(Job, job).state for job in (wanting, other)] == [JobState.QUEUED, JobState.REFUSED]
    database.close()
