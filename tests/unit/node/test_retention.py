"""Which images go, which never do, and that no crash leaves files behind or takes a file that is needed."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from db import schema
from db.files import Storage
from db.models import Delivery, Instance, Job, Result, Revision, Series, Study
from db.repository.deliveries import ARRIVED
from db.session import Database
from db.states import DeliveryState, InstanceRole, JobState, SettleReason, StudyState
from node import health
from node import retention as module
from node.config import Config
from node.console import console
from node.overview import show_health
from node.removed_input import missing_input
from node.retention import Retention, last_report
from node.sections import Destination, StorageSettings
from node.sections import Retention as RetentionSettings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAYS = 30
UIDS = itertools.count(1)


@dataclass
class Clock:
    """Time that passes only when a test says so."""

    now: datetime = NOW

    def __call__(self):
        return self.now


def ago(days):
    return None if days is None else NOW - timedelta(days=days)


class Archive:
    """A storage with its database, and a retention that keeps images for 30 days."""

    def __init__(self, root):
        self.storage = Storage(root)
        self.storage.prepare()
        self.database = Database(f"sqlite:///{self.storage.database}")
        schema.upgrade(self.database)
        self.clock = Clock()

    def retention(self, *, days=DAYS):
        peer = {"host": "127.0.0.1", "port": 104, "ae_title": "PACS"}
        destinations = (
            Destination(name="pacs", **peer),
            Destination(name="committing", storage_commitment=True, **peer),
            Destination(name="mute", storage_commitment=True, **peer),
        )
        config = Config(retention=RetentionSettings(inputs_days=days), destinations=destinations)
        return Retention(database=self.database, storage=self.storage, config=config, clock=self.clock)

    def run(self, retention=None, *, days=DAYS):
        """Run one whole pass, as the scheduler does."""
        retention = retention or self.retention(days=days)
        for _ in range(100):
            if retention.run() - self.clock() > timedelta(minutes=1):
                return
        pytest.fail("a pass did not end")

    def add(self, *, state=StudyState.SETTLED, received=100, roles=(InstanceRole.CURRENT,) * 3, jobs=(), settled=None):
        """Add a study; `jobs` as `job` makes them, times in days ago. Returns its id and its files."""
        uid = f"1.2.{next(UIDS)}"
        with self.database.write() as session:
            times = dict.fromkeys(("first_received_at", "last_received_at", "opened_at"), ago(received))
            study = Study(study_instance_uid=uid, state=state, revision_number=1, **times)
            session.add(study)
            session.flush()
            series = Series(
                study_id=study.id,
                series_instance_uid=f"{uid}.1",
                modality="CT",
                series_number=1,
                series_description="",
            )
            revision = Revision(
                study_id=study.id,
                number=1,
                settled_at=ago(received if settled is None else settled),
                reason=SettleReason.QUIET,
            )
            session.add_all([series, revision])
            session.flush()
            files = [self._instance(session, series.id, uid, n, role, received) for n, role in enumerate(roles)]
            for number, spec in enumerate(jobs):
                self._job(session, study.id, revision.id, f"{uid}.9.{number}", **spec)
            return study.id, files

    def _instance(self, session, series_id, study_uid, number, role, received):
        name = f"{next(UIDS):020d}-00000000.dcm"
        path = self.storage.archive_path(study_uid, name)
        (self.storage.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.storage.root / path).write_bytes(b"x" * 100)
        texts = ("patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date", "patient_sex")
        texts += ("calling_ae_title", "called_ae_title", "peer_address", "association_id", "transfer_syntax_uid")
        session.add(
            Instance(
                series_id=series_id,
                sop_instance_uid=f"{study_uid}.1.{number}",
                sop_class_uid="1.2",
                role=role,
                spool_name=name,
                path=str(path),
                size=100,
                dataset_sha256=f"{number}",
                pixel_sha256=f"{number}",
                header={},
                received_at=ago(received),
                **dict.fromkeys(texts, ""),
            )
        )
        return self.storage.root / path

    def _job(self, session, study_id, revision_id, uid, *, state, finished, superseded, retried, deliveries):
        job = Job(
            study_id=study_id,
            revision_id=revision_id,
            pipeline="p",
            pipeline_version="1",
            selection_hash=uid,
            stack="s",
            rule="r",
            destinations=[],
            state=state,
            created_at=ago(100),
            ranks_at=ago(100),
            finished_at=ago(finished),
            not_before=ago(0) if retried else None,
            superseded_by_id=99 if superseded else None,
        )
        session.add(job)
        session.flush()
        for number, (destination, delivery_state, sent, committed) in enumerate(deliveries):
            result = Result(
                job_id=job.id,
                position=number,
                kind="SR",
                sop_instance_uid=f"{uid}.{number}",
                sop_class_uid="1.2",
                series_instance_uid="1.2",
                path="results/x",
                size=1,
                sha256="",
                created_at=ago(finished or 100),
            )
            session.add(result)
            session.flush()
            session.add(
                Delivery(
                    result_id=result.id,
                    destination=destination,
                    state=delivery_state,
                    next_attempt_at=ago(0) if destination == "committing" and delivery_state in ARRIVED else None,
                    sent_at=ago(sent),
                    committed_at=ago(committed),
                )
            )

    def rows(self, study_id):
        with self.database.read() as session:
            query = select(Instance).join(Series).where(Series.study_id == study_id)
            return list(session.scalars(query))


def job(state=JobState.SUCCEEDED, *, finished=50, superseded=False, retried=False, deliveries=()):
    return {
        "state": state,
        "finished": finished,
        "superseded": superseded,
        "retried": retried,
        "deliveries": deliveries,
    }


SENT = ("pacs", DeliveryState.SENT, 40, None)


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path)
    yield archive
    archive.database.close()


@pytest.fixture(scope="module")
def shared_archive(tmp_path_factory):
    archive = Archive(tmp_path_factory.mktemp("archive"))
    yield archive
    archive.database.close()


def test_images_whose_results_all_arrived_long_ago_go_and_their_rows_stay(archive):
    study_id, files = archive.add(jobs=[job(deliveries=[SENT])])
    archive.run()
    assert not any(file.exists() for file in files)
    rows = archive.rows(study_id)
    assert len(rows) == 3
    assert all(row.removed_at == NOW and row.path == "" and row.dataset_sha256 for row in rows)


def test_the_folder_of_a_study_goes_with_its_last_image(archive):
    _, files = archive.add()
    archive.run()
    assert not files[0].parent.exists()


def test_nothing_goes_before_its_time_nor_when_retention_is_off(archive):
    _, young = archive.add(received=DAYS - 1)
    archive.run()
    assert all(file.exists() for file in young)
    archive.clock.now += timedelta(days=1000)
    archive.run(days=0)
    assert all(file.exists() for file in young)
    archive.run()
    assert not any(file.exists() for file in young)


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.WARNED])
def test_objects_of_which_nobody_is_to_be_asked_whether_they_are_kept_hold_no_images(shared_archive, state):
    """Sent before storage commitment was switched on, or to a peer that offers none."""
    _, files = shared_archive.add(jobs=[job(deliveries=[("mute", state, 40, None)])])
    shared_archive.run()
    assert not any(file.exists() for file in files)


@pytest.mark.parametrize(
    "reason",
    [
        {"state": StudyState.HELD},
        {"state": StudyState.RECEIVING},
        {"received": DAYS - 1},
        {"settled": DAYS - 1},
        {"roles": [InstanceRole.CURRENT, InstanceRole.CONFLICT]},
        *({"jobs": [job(state)]} for state in (JobState.QUEUED, JobState.RUNNING, JobState.HELD)),
        *({"jobs": [job(state)]} for state in (JobState.FAILED, JobState.QUARANTINED)),
        {"jobs": [job(JobState.FAILED, superseded=True, retried=True)]},
        {"jobs": [job(), job(finished=DAYS - 1)]},
        {"jobs": [job(deliveries=[SENT, ("pacs", DeliveryState.PENDING, None, None)])]},
        {"jobs": [job(deliveries=[SENT, ("pacs", DeliveryState.FAILED, None, None)])]},
        {"jobs": [job(deliveries=[SENT, ("committing", DeliveryState.SENT, 40, None)])]},
        {"jobs": [job(deliveries=[SENT, ("committing", DeliveryState.WARNED, 40, None)])]},
        {"jobs": [job(deliveries=[SENT, ("pacs", DeliveryState.SENT, DAYS - 1, None)])]},
        {"jobs": [job(deliveries=[SENT, ("committing", DeliveryState.COMMITTED, 40, DAYS - 1)])]},
    ],
    ids=str,
)
def test_each_of_these_alone_keeps_the_images_of_a_study(shared_archive, reason):
    _, files = shared_archive.add(**reason)
    shared_archive.run()
    assert all(file.exists() for file in files)


times = st.sampled_from([1, DAYS - 1, DAYS + 1, 90])
delivery_specs = st.tuples(
    st.sampled_from(["pacs", "committing", "mute"]), st.sampled_from(DeliveryState), times, st.none() | times
)
job_specs = st.builds(
    job,
    st.sampled_from(JobState),
    finished=st.none() | times,
    superseded=st.booleans(),
    retried=st.booleans(),
    deliveries=st.lists(delivery_specs, max_size=3),
)
# Most of what is drawn at random must be kept; what ended well must come up too.
arrived = st.tuples(
    st.just("pacs"), st.sampled_from([DeliveryState.SENT, DeliveryState.WARNED]), st.just(90), st.none()
) | st.tuples(st.just("committing"), st.just(DeliveryState.COMMITTED), st.just(90), st.just(90))
finished_jobs = st.builds(
    job,
    st.sampled_from([JobState.SUCCEEDED, JobState.REFUSED, JobState.CANCELLED]),
    finished=st.just(90),
    deliveries=st.lists(arrived, max_size=2),
)
study_specs = st.fixed_dictionaries(
    {
        "state": st.sampled_from([StudyState.SETTLED, *StudyState]),
        "received": times,
        "settled": times,
        "roles": st.lists(
            st.sampled_from([InstanceRole.CURRENT, InstanceRole.CURRENT, *InstanceRole]), min_size=1, max_size=3
        ),
        "jobs": st.lists(job_specs | finished_jobs, max_size=2),
    }
) | st.fixed_dictionaries({"jobs": st.lists(finished_jobs, max_size=2)})


def needed(state=StudyState.SETTLED, received=100, settled=100, roles=(), jobs=()):
    """Say anew, without SQL, what keeps a study's images."""
    young = [received, settled]
    young += [j["finished"] for j in jobs if j["finished"] is not None]
    young += [moment for j in jobs for d in j["deliveries"] for moment in d[2:] if moment is not None]
    return (
        state is not StudyState.SETTLED
        or InstanceRole.CONFLICT in roles
        or any(days < DAYS for days in young)
        or any(_job_waits(j) for j in jobs)
        or any(_delivery_waits(*d[:2]) for j in jobs for d in j["deliveries"])
    )


def _job_waits(spec):
    if spec["state"] in (JobState.FAILED, JobState.QUARANTINED):
        return spec["retried"] or not spec["superseded"]
    return spec["state"] in (JobState.QUEUED, JobState.RUNNING, JobState.HELD)


def _delivery_waits(destination, state):
    if state in (DeliveryState.PENDING, DeliveryState.FAILED):
        return True
    return destination == "committing" and state in ARRIVED


@settings(max_examples=80, deadline=None)
@given(spec=study_specs)
def test_images_go_if_and_only_if_nobody_can_need_them(shared_archive, spec):
    study_id, files = shared_archive.add(**spec)
    shared_archive.run()
    kept = [file for file in files if file.exists()]
    assert kept == (files if needed(**spec) else [])
    assert all((row.removed_at is None) == bool(kept) for row in shared_archive.rows(study_id))


class Killed(BaseException):
    """As `kill -9` does: no handler of ours sees it."""


@pytest.mark.parametrize("unlinked", [0, 1, 2])
def test_what_a_kill_left_between_mark_and_unlink_goes_at_the_next_start(archive, monkeypatch, unlinked):
    study_id, files = archive.add()
    real, count = Path.unlink, itertools.count()

    def unlink(path, missing_ok=False):
        if next(count) == unlinked:
            raise Killed
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink)
        with pytest.raises(Killed):
            archive.run()
    assert sum(file.exists() for file in files) == len(files) - unlinked
    assert all(row.removed_at and row.path for row in archive.rows(study_id))
    archive.run(days=0)  # also when nothing more is to be removed
    assert not files[0].parent.exists()
    assert all(row.path == "" for row in archive.rows(study_id))


def test_an_image_that_came_again_between_mark_and_unlink_is_kept(archive, monkeypatch):
    study_id, files = archive.add()
    retention = archive.retention()
    retention.run()
    assert all(row.removed_at for row in archive.rows(study_id))
    with archive.database.write() as session:
        row = session.scalars(select(Instance).where(Instance.path == str(files[0].relative_to(archive.storage.root))))
        row.one().removed_at = None
    archive.run(retention)
    assert [file.exists() for file in files] == [True, False, False]


def test_a_study_that_came_back_to_life_after_it_was_chosen_is_kept(archive, monkeypatch):
    first, second = archive.add(received=200), archive.add(received=100)
    retention = archive.retention()
    retention.run()
    with archive.database.write() as session:
        session.get_one(Study, second[0]).state = StudyState.RECEIVING
    archive.run(retention)
    assert not any(file.exists() for file in first[1])
    assert all(file.exists() for file in second[1])


def test_files_are_unlinked_a_few_at_a_time(archive, monkeypatch):
    monkeypatch.setattr(module, "_FILES_A_STEP", 2)
    _, files = archive.add(roles=(InstanceRole.CURRENT,) * 5)
    retention = archive.retention()
    left = []
    while retention.run() - archive.clock() < timedelta(minutes=1):
        left.append(sum(file.exists() for file in files))
    assert left == [5, 3, 1, 0]


def test_an_archive_that_may_not_be_written_stops_the_pass_until_the_next_hour(archive, monkeypatch, caplog):
    _, files = archive.add()

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    retention = archive.retention()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        archive.run(retention)
    assert "check the rights" in caplog.text
    assert "Traceback" not in caplog.text
    archive.clock.now += timedelta(hours=1)
    archive.run(retention)
    assert not any(file.exists() for file in files)


def test_the_report_says_what_is_held_what_went_and_what_goes_next(archive):
    archive.add(jobs=[job(deliveries=[SENT])])
    archive.add(state=StudyState.HELD)
    archive.add(received=10)
    archive.run()
    report = last_report(archive.storage)
    assert (report.held_instances, report.held_bytes) == (6, 600)
    assert (report.removed_at, report.removed_instances, report.removed_bytes) == (NOW, 3, 300)
    assert report.kept_longer == 1
    assert report.next_at == NOW + timedelta(days=20)
    archive.clock.now += timedelta(hours=2)
    archive.run()
    assert last_report(archive.storage).removed_at == NOW


def test_a_damaged_report_is_as_none(archive):
    (archive.storage.root / "retention.json").write_text("{")
    assert last_report(archive.storage) is None
    archive.run()
    assert last_report(archive.storage) is not None


def test_a_selection_whose_images_went_is_refused_with_its_remedy():
    assert missing_input([None, None]) is None
    refusal = missing_input([None, NOW, NOW - timedelta(days=1)])
    assert refusal.code == "input-gone"
    assert "2 of its 3 images were removed on 2026-06-01" in str(refusal)
    assert refusal.remedy == "Resend the study."


def test_status_shows_what_is_held_what_goes_next_and_what_went(archive, monkeypatch):
    monkeypatch.setattr(health, "echo", lambda _peer: True)
    archive.add()
    archive.add(state=StudyState.HELD)
    archive.add(received=10)
    archive.run()
    archive.database.close()
    with console.capture() as shown:
        show_health(health.examine(Config(storage=StorageSettings(path=archive.storage.root))), inputs_days=DAYS)
    line = " ".join(shown.get().split())
    assert "images: 6, 0.0 GB as of the last pass at 12:00 UTC · kept 30 days · next go 2026-06-21 · " in line
    assert "studies kept longer: 1 " in line
    assert "3 went 2026-06-01" in line


def test_results_of_ours_that_came_back_are_not_counted_as_images(archive):
    archive.add(state=StudyState.HELD, roles=(InstanceRole.CURRENT, InstanceRole.OWN_RESULT))
    archive.run()
    report = last_report(archive.storage)
    assert (report.held_instances, report.held_bytes) == (1, 100)


def test_status_says_that_images_which_came_after_the_first_pass_are_not_counted_yet(archive, monkeypatch):
    monkeypatch.setattr(health, "echo", lambda _peer: True)
    archive.run()
    archive.add(received=-1)
    archive.database.close()
    with console.capture() as shown:
        show_health(health.examine(Config(storage=StorageSettings(path=archive.storage.root))), inputs_days=DAYS)
    assert "images: not counted yet; the last pass, one an hour, was at 12:00 UTC" in " ".join(shown.get().split())
