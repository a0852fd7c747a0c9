"""What is handed out: images that count, newest results, nothing that is held back."""

import pytest
from sqlalchemy import event, select, update

from db.models import Instance, Job, Study
from db.repository import available, intake
from db.repository.available import Wanted
from db.states import HoldReason, InstanceRole
from tests.unit.db.conftest import NOON
from tests.unit.db.test_superseding import Revisions, job

ALL = Wanted(study_instance_uids=["1.2.3"])
IMAGES = ["1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"]


@pytest.fixture
def study(database, received):
    return Revisions(database, received)


@pytest.fixture
def uids(database):
    """Return what would be sent."""

    def ask(wanted=ALL, limit=100):
        with database.read() as session:
            return [one.sop_instance_uid for one in available.objects(session, wanted, limit=limit)]

    return ask


def change(database, model, **values):
    with database.write() as session:
        session.execute(update(model).values(**values))


def test_images_go_before_results(study, uids):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9")
    assert uids() == [*IMAGES, "1.9"]


def test_unique_keys_narrow_it_down(study, uids):
    assert uids(Wanted(sop_instance_uids=IMAGES[:2])) == IMAGES[:2]
    assert uids(Wanted(study_instance_uids=["1.2.3"], series_instance_uids=["1.2.3.5"])) == []
    assert uids(Wanted(patient_ids=["P1"], study_instance_uids=["1.2.3"])) == []  # nothing is catalogued yet
    assert uids(limit=2) == IMAGES[:2]


def test_a_list_longer_than_a_statement_takes_is_divided(study, uids):
    others = [f"9.{n}" for n in range(1200)]
    assert uids(Wanted(sop_instance_uids=[IMAGES[0], *others, IMAGES[2]])) == [IMAGES[0], IMAGES[2]]


def test_results_that_a_later_revision_replaced_stay_here(study, uids):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9")
    study.settle(job("b"))
    assert uids() == IMAGES
    study.succeed(study.start(), "1.10")
    assert uids() == [*IMAGES, "1.10"]


def test_of_a_held_study_the_images_go_and_the_results_stay(study, uids, database):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9")
    change(database, Study, hold_reason=HoldReason.CONFLICT)
    assert uids() == IMAGES


@pytest.mark.parametrize("role", [InstanceRole.CONFLICT, InstanceRole.SUPERSEDED, InstanceRole.EXCLUDED])
def test_what_does_not_count_stays_here(study, uids, database, role):
    change(database, Instance, role=role)
    assert uids() == []


def test_what_retention_removed_is_gone_and_its_results_are_not(study, uids, database):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9")
    change(database, Instance, removed_at=NOON)
    assert uids() == ["1.9"]
    with database.read() as session:
        assert available.series_of(session, [1]) == {1: {"1.9.1": 1}}


def test_a_result_that_came_back_counts_only_where_ours_is_not_known(study, uids, database, received):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9")
    back = received(9, sop_instance_uid="1.9", series_instance_uid="1.9.1", by_us=True)
    again = received(10, sop_instance_uid="1.9", series_instance_uid="1.9.1", by_us=True, dataset_sha256="e" * 64)
    with database.write() as session:
        intake.add(session, [back, again])
    assert uids() == [*IMAGES, "1.9"]
    change(database, Job, superseded_by_id=7)
    assert uids() == IMAGES
    with database.write() as session:
        for table in ("delivery", "result"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - two names of ours
    assert uids() == [*IMAGES, "1.9"]
    with database.read() as session:
        (row,) = [o for o in available.objects(session, ALL, limit=9) if o.sop_instance_uid == "1.9"]
        newest = session.scalars(select(Instance.path).where(Instance.path == row.path)).one()
    assert newest == "archive/10.dcm"


def test_a_page_of_studies_is_counted_study_by_study(database):
    plans = []

    def note(connection, _cursor, statement, parameters, _context, _many):
        if statement.startswith("SELECT"):
            explained = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(step[3] for step in explained)

    event.listen(database.engine, "before_cursor_execute", note)
    with database.read() as session:
        available.series_of(session, range(1, 100))
    assert any(step.startswith("SEARCH series") for step in plans)
    assert [step for step in plans if "SCAN" in step or "ix_job_superseded_by_id" in step] == []
