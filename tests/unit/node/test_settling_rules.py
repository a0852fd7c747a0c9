"""What rules make of a study that settles: its quiet time, its jobs, and who gets what."""

import pytest
from sqlalchemy import select, update

from db.models import Decision, Instance, Job, Revision, Study
from db.repository import deciding, holding
from db.states import HoldReason, StudyState
from node.config import Config
from node.rules import Rule
from node.sections import Destination, Settle
from tests.unit.db.conftest import received  # noqa: F401 - a fixture
from tests.unit.node.test_settler import QUIET_S, desk  # noqa: F401 - a fixture

DESTINATIONS = tuple(Destination(name=n, host="h", port=1, ae_title=n.upper()) for n in ("pacs", "archive", "scanner"))


def rule(name="r", **changes):
    return Rule(**({"name": name, "modality": "CT", "pipelines": ("lung-densitometry",)} | changes))


def use(desk, *rules):  # noqa: F811 - the fixture
    desk.settler.reload(
        Config(settle=Settle(quiet_ct_s=QUIET_S, max_wait_s=1800), destinations=DESTINATIONS, rules=rules)
    )


def came_from(desk, calling):  # noqa: F811 - the fixture
    with desk.database.write() as session:
        for row in session.scalars(select(Instance)):
            row.calling_ae_title = calling


def rows(desk, kind):  # noqa: F811 - the fixture
    with desk.database.read() as session:
        return session.scalars(select(kind).order_by(kind.id)).all()


def test_a_rule_shortens_the_quiet_time_of_its_own_senders_alone(desk):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S / 2)
    came_from(desk, "ER")
    use(
        desk,
        rule("er", quiet_s=QUIET_S / 3, when={"calling_ae_title": "CT1"}),
        rule("er2", when={"calling_ae_title": "ER"}),
    )
    assert desk.settler.run() is not None
    assert desk.states() == {"1.2.3": StudyState.RECEIVING}
    use(desk, rule("er", quiet_s=QUIET_S / 3, when={"calling_ae_title": "ER"}))
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}


def test_two_rules_share_a_job_with_the_destinations_of_both_and_the_higher_priority(desk):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S + 1)
    came_from(desk, "SCANNER")
    use(
        desk,
        rule("one", destinations=("source", "pacs"), priority="high"),
        rule("two", destinations=("pacs", "archive"), notices=True),
    )
    desk.settler.run()
    (job,) = rows(desk, Job)
    assert (job.destinations, job.priority, job.notices) == (["scanner", "pacs", "archive"], 50, True)
    assert job.refusal is None
    assert [(d.rule, d.job_id) for d in rows(desk, Decision)] == [("one", job.id), ("two", job.id)]


@pytest.mark.parametrize("notices", [True, False])
def test_a_study_that_nothing_fits_becomes_a_job_only_where_its_refusal_is_told(desk, notices):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S + 1, body_part_examined="HEAD", series_description="Named^Patient")
    use(desk, rule(destinations=("pacs",), notices=notices))
    desk.settler.run()
    (decision,) = rows(desk, Decision)
    assert decision.code == "not-chest"
    jobs = rows(desk, Job)
    assert [job.id for job in jobs] == [decision.job_id] * notices
    for job in jobs:
        assert job.notices
        assert job.refusal["code"] == "nothing-fits"
        assert job.refusal["remedy"]
        assert "Named" not in job.refusal["reason"]


def test_two_rules_that_are_told_the_same_get_one_notice(desk):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S + 1, body_part_examined="HEAD")
    one = rule("one", destinations=("pacs",), notices=True)
    use(desk, one, Rule(**(one.model_dump() | {"name": "two", "destinations": ("archive",)})))
    desk.settler.run()
    (job,) = rows(desk, Job)
    assert job.destinations == ["pacs", "archive"]


def test_a_settled_study_runs_under_mended_rules_once_a_person_has_it_decided_again(desk):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S + 1)
    use(desk, rule("wrong", when={"slice_count": {"max": 10}}))
    desk.settler.run()
    assert [(d.rule, d.code) for d in rows(desk, Decision)] == [("wrong", "rule")]
    use(desk, rule("mended"))
    desk.settler.run()
    assert rows(desk, Job) == []
    for _ in range(2):
        with desk.database.write() as session:
            deciding.ask(session, "1.2.3")
        desk.settler.run()
        (job,) = rows(desk, Job)
        assert [(d.rule, d.job_id) for d in rows(desk, Decision)] == [("mended", job.id)]
    assert desk.jobs == [1]
    (revision,) = rows(desk, Revision)
    assert revision.decided_at > revision.settled_at


def test_a_study_that_is_held_before_it_is_decided_again_stays_held(desk):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S + 1)
    use(desk)
    desk.settler.run()
    with desk.database.write() as session:
        deciding.ask(session, "1.2.3")
        holding.hold(session, 1, reason=HoldReason.CONFLICT, message="other pixels")
    use(desk, rule())
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.HELD}
    assert rows(desk, Job) == []


def test_a_study_that_changed_too_often_is_still_decided_again_because_a_person_asked(desk):  # noqa: F811 - the fixture
    desk.index(ago_s=QUIET_S + 1)
    use(desk, rule())
    desk.settler.run()
    with desk.database.write() as session:
        session.execute(update(Study).values(revisions_allowed=-Settle().max_revisions))
        session.execute(update(Job).values(pipeline_version="0"))  # as after an upgrade
        deciding.ask(session, "1.2.3")
    desk.settler.run()
    assert desk.states() == {"1.2.3": StudyState.SETTLED}
    first, second = rows(desk, Job)
    assert first.superseded_by_id == second.id
