"""`opacity-node deliveries` and `resend`, on a node's database."""

import json

import pytest
from rich.console import Console
from sqlalchemy import select
from typer.testing import CliRunner

from db.models import Delivery, Job, Result, Study
from db.repository.deliveries import Attempt, record, troubles
from db.repository.resending import GIVEN_UP, Choice, Resending
from db.states import DeliveryState, HoldReason, StudyState
from node.cli import app, deliveries
from node.sections import Destination
from tests.post import Clock, Post, ScriptedPeers

PENDING, SENT, FAILED, CANCELLED, UNWANTED = (
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.FAILED,
    DeliveryState.CANCELLED,
    DeliveryState.UNWANTED,
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def peers():
    return ScriptedPeers(pacs=lambda _n, _p: 0, archive=lambda _n, _p: "down")


@pytest.fixture
def post(tmp_path, clock, peers):
    """An outbox with three objects, which went to `pacs` and wait for `archive`; `spare` is known and unused."""
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        path.write_text(path.stem)
    mail = Post(
        tmp_path,
        paths,
        {name: Destination(name=name, host="127.0.0.1", port=104, ae_title=name) for name in ("pacs", "archive")},
        clock=clock,
        connect=peers.connect,
    )
    mail.run()
    yield mail
    mail.close()


@pytest.fixture
def call(post, tmp_path, monkeypatch):
    """Call the command line on that database."""
    file = tmp_path / "config.toml"
    places = "".join(
        f'[[destinations]]\nname = "{name}"\nhost = "127.0.0.1"\nport = 104\nae_title = "{name}"\n'
        for name in ("pacs", "archive", "spare")
    )
    file.write_text(
        f'[storage]\npath = "{tmp_path}"\n{places}[[rules]]\nname = "r"\npipelines = ["lung-densitometry"]\n'
    )
    monkeypatch.setattr(deliveries, "console", Console(width=100, highlight=False))

    def make(*arguments):
        return CliRunner().invoke(app, [*arguments, "--config", str(file)])

    return make


def test_deliveries_tells_where_each_object_is_and_what_was_answered_within_100_columns(call):
    done = call("deliveries")
    assert done.exit_code == 0, done.output
    assert max(len(line) for line in done.output.splitlines()) <= 100
    assert done.output.count("sent") == 3
    assert done.output.count("pending") == 3
    assert "cannot be reached" in " ".join(done.output.split())
    assert "pending" not in call("deliveries", "--state", "sent").output
    assert "archive" not in call("deliveries", "--destination", "pacs").output
    assert len(json.loads(call("deliveries", "--json", "--newest", "2").output)) == 2
    assert "no such deliveries" in call("deliveries", "--state", "committed").output


def test_resend_puts_a_study_back_says_how_many_and_the_outbox_sends_the_same_bytes(call, post, peers, clock):
    done = call("resend", "1.2", "--destination", "pacs")
    assert done.exit_code == 0, done.output
    assert "3 objects are sent again to pacs" in done.output
    assert post.states("pacs") == [PENDING] * 3
    clock.turn(days=365)  # the command takes the real time
    post.run()
    assert post.states("pacs") == [SENT] * 3
    assert sorted(peers.stored) == sorted([("pacs", str(n)) for n in range(3)] * 2)


def test_resend_hastens_what_waits_in_a_pause(call, post):
    done = call("resend", "--destination", "archive")
    assert "3 objects that waited are sent now to archive" in done.output
    assert {d.attempts for d in post.deliveries("archive")} == {0}


def test_resend_of_one_state_leaves_the_others(call, post):
    change(post, 1, state=FAILED, refusals=12)
    done = call("resend", "--job", str(post.job_id), "--state", "failed", "--json")
    assert json.loads(done.output)["again"] == {"pacs": 1}
    assert sorted(post.states("pacs")) == [PENDING, SENT, SENT]
    assert post.deliveries("pacs")[0].refusals == 0


def test_resend_to_another_destination_adds_deliveries_once(call, post):
    assert "3 objects are sent also to spare" in call("resend", "1.2", "--to", "spare").output
    assert post.states("spare") == [PENDING] * 3
    assert "3 objects that waited are sent now to spare" in call("resend", "1.2", "--to", "spare").output
    assert len(post.states()) == 9


def test_a_step_takes_a_few_and_the_last_one_none(post):
    with post.database.write() as session:
        resending = Resending(Choice(), now=post.outbox._clock(), to="spare")
        steps = [resending.step(session, limit=2) for _ in range(6)]
    assert steps == [True] * 5 + [False]  # of six deliveries and the three that it makes
    assert resending.resent.added == {"spare": 3}
    assert resending.resent.sooner == {}


def test_what_a_later_revision_cancelled_is_never_sent_again(call, post):
    for number in range(1, 7):
        change(post, number, state=CANCELLED, next_attempt_at=None)
    for arguments in (("resend", "1.2"), ("resend", "1.2", "--to", "spare")):
        done = call(*arguments)
        assert done.exit_code == 2
        assert "later revision" in done.output
    assert set(post.states()) == {CANCELLED}


def test_a_destination_that_is_gone_for_good_is_given_up_and_ails_no_more(call, post):
    change(post, post.deliveries("archive")[0].id, state=FAILED, next_attempt_at=None)
    done = call("give-up", "archive")
    assert done.exit_code == 0, done.output
    assert "3 objects will not be sent to archive" in done.output
    assert "config.toml still has archive" in done.output
    assert post.states("archive") == [CANCELLED] * 3
    assert {d.message for d in post.deliveries("archive")} == {GIVEN_UP}
    with post.database.read() as session:
        assert troubles(session) == []
    again = call("give-up", "archive")
    assert again.exit_code == 2
    assert "nothing waits for archive" in again.output


def test_a_destination_that_was_given_up_is_not_asked_what_it_keeps(call, post):
    change(
        post, post.deliveries("pacs")[0].id, next_attempt_at=post.outbox._clock(), failing_since=post.outbox._clock()
    )
    done = call("give-up", "pacs")
    assert "pacs is not asked any more whether it keeps 1 object" in done.output
    assert post.states("pacs") == [SENT] * 3
    with post.database.read() as session:
        assert "pacs" not in {trouble.destination for trouble in troubles(session)}


def test_what_was_given_up_comes_back_only_by_naming_where_it_is_to_go(call, post):
    call("give-up", "archive")
    refused = call("resend", "--destination", "archive")
    assert refused.exit_code == 2
    assert "3 objects given up by a person" in refused.output
    assert "3 stay given up" in call("resend", "1.2").output
    assert post.states("archive") == [CANCELLED] * 3
    assert "3 objects are sent also to spare" in call("resend", "--destination", "archive", "--to", "spare").output
    assert "3 objects are sent again to archive" in call("resend", "1.2", "--to", "archive").output
    assert post.states("archive") == post.states("spare") == [PENDING] * 3


def test_what_was_given_up_and_then_replaced_stays_away(call, post):
    call("give-up", "archive")
    with post.database.write() as session:
        session.get_one(Job, post.job_id).superseded_by_id = 9
    assert call("resend", "--destination", "archive", "--to", "spare").exit_code == 2
    assert post.states("archive") == [CANCELLED] * 3


def test_an_attempt_that_was_under_way_when_a_person_gave_up_changes_nothing(call, post):
    number = post.deliveries("archive")[0].id
    call("give-up", "archive")
    failed = Attempt(
        delivery_id=number, state=PENDING, status=None, message="it hung up", next_attempt_at=post.outbox._clock()
    )
    with post.database.write() as session:
        record(session, [failed], now=post.outbox._clock())
    assert post.states("archive") == [CANCELLED] * 3
    assert {d.message for d in post.deliveries("archive")} == {GIVEN_UP}


def test_resend_of_a_held_study_says_that_it_waits_for_a_person(call, post):
    with post.database.write() as session:
        study = session.get_one(Study, 1)
        study.state, study.hold_reason = StudyState.HELD, HoldReason.CONFLICT
    assert "opacity-node resolve 1.2" in call("resend", "1.2").output


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("resend",), "say what to send again"),
        (("resend", "9.9"), "no study whose UID is or ends in 9.9"),
        (("resend", "--job", "77"), "no delivery fits"),
        (("resend", "1.2", "--state", "lost"), "one of pending"),
        (("resend", "1.2", "--to", "nowhere"), "there are: pacs, archive, spare"),
        (("deliveries", "--state", "lost"), "one of pending"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_remedy(call, arguments, remedy):
    done = call(*arguments)
    assert done.exit_code == 2
    assert remedy in " ".join(done.output.split())


def change(post, number, **values):
    with post.database.write() as session:
        delivery = session.get_one(Delivery, number)
        for name, value in values.items():
            setattr(delivery, name, value)


def test_resend_leaves_out_what_a_destination_does_not_want_until_it_does(call, post, tmp_path):
    with post.database.write() as session:
        session.get_one(Result, 1).kind = "map"
        delivery = session.scalars(
            select(Delivery).where(Delivery.result_id == 1, Delivery.destination == "pacs")
        ).one()
        delivery.state = UNWANTED
    done = call("resend", "1.2", "--to", "pacs")
    assert done.exit_code == 0
    assert "leave them out" in done.output
    assert post.states("pacs") == [UNWANTED, PENDING, PENDING]
    file = tmp_path / "config.toml"
    file.write_text(file.read_text().replace('ae_title = "pacs"', 'ae_title = "pacs"\nmaps = "source-grid"'))
    assert call("resend", "1.2", "--destination", "pacs").exit_code == 0
    assert post.states("pacs") == [PENDING] * 3


def test_resend_of_nothing_but_what_is_unwanted_says_so(call, post):
    with post.database.write() as session:
        for result in session.scalars(select(Result)):
            result.kind = "map"
    done = call("resend", "1.2")
    assert done.exit_code == 2
    assert "`objects` and `maps`" in " ".join(done.output.split())
