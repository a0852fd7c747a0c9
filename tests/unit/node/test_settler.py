"""When a study is taken as complete, and what may not hold it back or hurry it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from db import schema
from db.files import Storage
from db.models import Decision, Job, Study
from db.repository import holding, resolving
from db.repository import intake as intake_rows
from db.session import Database
from db.states import HoldReason, JobState, StudyState
from handlers.association import Associations
from node import settler as module
from node.config import Config
from node.sections import Settle
from node.settler import Settler
from tests.unit.db.conftest import received  # noqa: F401 - a fixture
from tests.unit.handlers.test_association import event
from tests.unit.node.headers import axial

QUIET_S, MAX_WAIT_S = 60, 1800


class Desk:
    """A settler with its database, spool and associations."""

    def __init__(self, folder, make_received):
        self.storage = Storage(folder)
        self.storage.prepare()
        self.database = Database(f"sqlite:///{self.storage.database}")
        schema.upgrade(self.database)
        self._ago_s = 0.0
        self.associations = Associations(clock=lambda: time.monotonic() - self._ago_s)
        self.jobs = []
        config = Config(settle=Settle(quiet_ct_s=QUIET_S, max_wait_s=MAX_WAIT_S, association_idle_s=30))
        self.settler = Settler(
            database=self.database,
            storage=self.storage,
            associations=self.associations,
            config=config,
            on_jobs=lambda: self.jobs.append(1),
        )
        self._received = make_received

    def index(self, *, ago_s, study="1.2.3", count=60, first=1, patient_id="P1", **changes):
        at = datetime.now(UTC) - timedelta(seconds=ago_s)
        with self.database.write() as session:
            for n, header in enumerate(axial(f"{study}.9", count=count, **changes)):
                number = first + n
                intake_rows.add(
                    session,
                    [
                        self._received(
                            number,
                            study_instance_uid=study,
                            series_instance_uid=f"{study}.9",
                            sop_instance_uid=header.sop_instance_uid,
                            header=header.to_json(),
                            received_at=at,
                            patient_id=patient_id,
                        )
                    ],
                )

    def index_late(self, number, *, ago_s, **changes):
        """Add one slice on top of the sixty, the first of which has number 1."""
        late = {"first": 500 + number, "count": 1, "sop_instance_uid": f"1.2.3.9.{500 + number}"}
        self.index(ago_s=ago_s, start=(59 + number) * 5.0, **late, **changes)

    def count_jobs(self):
        with self.database.read() as session:
            return len(session.scalars(select(Job.id)).all())

    def receive(self, association, *, ago_s, study="1.2.3"):
        """Have an association store an instance, which is not indexed by that."""
        self._ago_s = ago_s
        self.associations.received(association.assoc.name, study)
        self._ago_s = 0.0

    def spool(self, *, ago_s):
        name = f"{time.time_ns() - int(ago_s * 1e9):020d}-00000000.dcm"
        (self.storage.spool / name).write_bytes(b"x")
        return self.storage.spool / name

    def states(self):
        with self.database.read() as session:
            return dict(session.execute(select(Study.study_instance_uid, Study.state)).all())


@pytest.fixture
def desk(tmp_path, received):  # noqa: F811 - the fixture
    desk = Desk(tmp_path, received)
    yield desk
    desk.database.close()


def test_a_quiet_study_settles_with_a_job_and_a_decision(desk):
    desk.index(ago_s=QUIET_S + 1)
    assert desk.settler.run() is None
    assert desk.states() == {"1.2.3": StudyState.SETTLED}
    assert desk.jobs == [1]
    with desk.database.read() as session:
        assert session.scalars(select(Job)).one().pipeline == "lung-densitometry"
        assert session.scalars(select(Decision)).one().reason


def test_a_study_that_is_not_quiet_yet_is_due_when_it_will_be(desk):
    desk.index(ago_s=10)
    due = desk.settler.run()
    assert abs((due - datetime.now(UTC)).total_seconds() - (QUIET_S - 10)) < 5
    assert desk.states() == {"1.2.3": StudyState.RECEIVING}


def test_an_older_file_in_the_spool_holds_it_back_and_a_newer_does_not(desk):
    desk.settler.run()
    desk.index(ago_s=QUIET_S + 10)
    older = desk.spool(ago_s=QUIET_S)
    assert desk.settler.run() is not None
    older.unlink()
    desk.spool(ago_s=1)
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_what_a_node_finds_in_the_spool_when_it_begins_holds_back_every_study(desk):
    desk.index(ago_s=QUIET_S + 10)
    found = desk.spool(ago_s=1)
    assert desk.settler.run() is not None
    found.unlink()
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_the_quiet_time_begins_with_the_last_instance_that_came_indexed_or_not(desk):
    desk.settler.run()
    desk.index(ago_s=QUIET_S + 10, count=3)
    scanner = event()
    desk.associations.accepted(scanner)
    desk.receive(scanner, ago_s=QUIET_S - 20)
    desk.associations.ended(scanner)
    spooled = desk.spool(ago_s=QUIET_S - 20)
    due = desk.settler.run()
    assert abs((due - datetime.now(UTC)).total_seconds() - 20) < 5
    spooled.unlink()
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_what_a_study_has_already_does_not_keep_it_open(desk):
    desk.index(ago_s=QUIET_S + 10)
    repeats = event()
    desk.associations.accepted(repeats)
    desk.receive(repeats, ago_s=1)  # and indexed as what it is, which moves no time of the study
    desk.associations.ended(repeats)
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_an_open_association_that_sends_to_it_holds_it_back(desk):
    desk.index(ago_s=QUIET_S + 10)
    scanner = event()
    desk.associations.accepted(scanner)
    desk.receive(scanner, ago_s=QUIET_S + 10)
    desk.associations.heard(scanner.assoc.name)
    assert desk.settler.run() is not None
    desk.associations.ended(scanner)
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_after_the_longest_wait_it_settles_all_the_same_but_not_without_its_spooled_rest(desk):
    desk.index(ago_s=MAX_WAIT_S + 10)
    rest = desk.spool(ago_s=MAX_WAIT_S + 9)
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.RECEIVING}
    rest.unlink()
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_one_study_that_cannot_be_settled_is_held_and_the_others_settle(desk, monkeypatch):
    desk.index(ago_s=QUIET_S + 20, study="1.2.3")
    desk.index(ago_s=QUIET_S + 10, study="1.2.4", first=100)
    real = module.split

    def split(headers):
        headers = list(headers)
        if headers[0].series_instance_uid.startswith("1.2.3"):
            raise ZeroDivisionError
        return real(headers)

    monkeypatch.setattr(module, "split", split)
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.HELD, "1.2.4": StudyState.SETTLED}


@pytest.mark.parametrize("what", ["held", "more came"])
def test_a_study_that_changed_since_it_was_read_is_left_alone(desk, monkeypatch, what):
    desk.index(ago_s=QUIET_S + 10)
    verdict = desk.settler._verdict

    def change(study, now):
        with desk.database.write() as session:
            if what == "held":
                holding.hold(session, study.id, reason=HoldReason.CONFLICT, message="m")
        if what == "more came":
            desk.index(ago_s=1, first=500, count=1, sop_instance_uid="1.2.3.9.500")
        return verdict(study, now)

    monkeypatch.setattr(desk.settler, "_verdict", change)
    desk.settler.run()
    expected = StudyState.HELD if what == "held" else StudyState.RECEIVING
    assert desk.states() == {"1.2.3": expected}
    assert desk.jobs == []


def test_instances_of_two_patients_hold_the_study_and_queue_nothing(desk):
    desk.index(ago_s=QUIET_S + 10)
    desk.index_late(1, ago_s=QUIET_S + 9, patient_id="P2")
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.HELD}
    assert desk.jobs == []
    with desk.database.read() as session:
        assert session.scalars(select(Study.hold_reason)).one() is HoldReason.IDENTITY_CONFLICT


def test_a_study_that_changes_again_and_again_is_held_after_so_many_revisions(desk):
    desk.index(ago_s=QUIET_S + 100)
    desk.settler.run()
    counts = [desk.count_jobs()]
    for number in range(1, 6):
        desk.index_late(number, ago_s=QUIET_S + 100 - number)
        desk.settler.run()
        counts.append(desk.count_jobs())
    assert counts == [1, 2, 3, 4, 4, 4]  # the first results, and Settle.max_revisions more
    assert desk.states() == {"1.2.3": StudyState.HELD}
    with desk.database.write() as session:
        assert resolving.resolve(session, "1.2.3", resolving.Decision()) is HoldReason.MAX_REVISIONS
    desk.settler.run()
    assert desk.count_jobs() == 5
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_settling_again_without_anything_new_queues_nothing_and_is_no_revision_too_many(desk):
    desk.index(ago_s=QUIET_S + 100)
    for _ in range(6):
        desk.settler.run()
        with desk.database.write() as session:
            session.scalars(select(Study)).one().state = StudyState.RECEIVING
    assert desk.count_jobs() == 1


def test_a_backlog_in_the_spool_is_listed_once_for_all_that_wait_for_it(desk, monkeypatch):
    for n in range(3):
        desk.index(ago_s=QUIET_S + 10, study=f"1.2.{n}", first=100 * n)
    older, old = desk.spool(ago_s=QUIET_S + 2), desk.spool(ago_s=QUIET_S + 1)
    listed = []
    real = Storage.spooled
    monkeypatch.setattr(Storage, "spooled", lambda storage: listed.append(1) or real(storage))
    desk.settler.run()
    assert listed == [1]
    older.unlink()
    desk.settler.run()
    assert set(desk.states().values()) == {StudyState.RECEIVING}
    old.unlink()
    desk.settler.run()
    assert set(desk.states().values()) == {StudyState.SETTLED}


def test_a_decision_about_the_patient_makes_results_anew(desk):
    desk.index(ago_s=QUIET_S + 100)
    desk.settler.run()
    desk.index_late(1, ago_s=QUIET_S + 99, patient_id="P2")
    desk.settler.run()
    with desk.database.write() as session:
        resolving.resolve(session, "1.2.3", resolving.Decision(patient=1))
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}
    with desk.database.read() as session:
        assert session.scalars(select(Job.state).order_by(Job.id)).all() == [JobState.CANCELLED, JobState.QUEUED]


def test_a_study_with_results_that_the_database_does_not_know_is_held_until_released(desk):
    desk.index(ago_s=QUIET_S + 100)
    (desk.storage.results / "1.2.3" / "lung-densitometry-7").mkdir(parents=True)
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.HELD}
    with desk.database.write() as session:
        assert resolving.resolve(session, "1.2.3", resolving.Decision()) is HoldReason.DATABASE_REBUILT
    desk.settler.run()
    assert desk.count_jobs() == 1
