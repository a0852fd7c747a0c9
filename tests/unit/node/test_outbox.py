"""Hours of an outbox, in milliseconds: peers without a network, a clock that is turned by hand."""

import random
import threading
import time
from datetime import timedelta

import pytest

from db.models import Delivery, Result
from db.repository.deliveries import troubles
from db.states import DeliveryState
from node.retries import MAX_REFUSALS
from node.sections import Destination
from tests.post import Clock, Post, ScriptedPeers

PENDING, SENT, FAILED, CANCELLED = (
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.FAILED,
    DeliveryState.CANCELLED,
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def post(tmp_path, clock):
    """Make an outbox with objects 0, 1, 2, ... for every scripted peer."""
    made = []

    def make(objects=3, **scripts):
        peers = ScriptedPeers(**scripts)
        paths = [tmp_path / f"{number}.dcm" for number in range(objects)]
        for path in paths:
            path.write_text(path.stem)
        mail = Post(tmp_path, paths, {name: place(name) for name in scripts}, clock=clock, connect=peers.connect)
        made.append(mail)
        return mail, peers

    yield make
    for mail in made:
        mail.close()


def place(name, **changes):
    return Destination(**({"name": name, "host": "127.0.0.1", "port": 104, "ae_title": name} | changes))


def well(_number, _path):
    return 0


def down(_number, _path):
    return "down"


def pass_time(mail, clock, **time):
    """Turn the clock from one due moment to the next, as the scheduler does."""
    end = clock.now + timedelta(**time)
    while clock.now < end:
        mail.run()
        due = [d.next_attempt_at for d in mail.deliveries() if d.next_attempt_at and d.next_attempt_at > clock.now]
        clock.now = min([end, *due])
    mail.run()


def test_a_destination_that_is_dead_for_hours_is_called_every_five_minutes_and_then_gets_everything(post, clock):
    mail, peers = post(pacs=down)
    mail.run()
    first = mail.deliveries()
    assert {d.state for d in first} == {PENDING}
    assert {d.attempts for d in first} == {1}
    assert "cannot be reached" in first[0].message
    pass_time(mail, clock, hours=4)
    waiting = mail.deliveries()
    assert {d.state for d in waiting} == {PENDING}
    assert 4 * 12 <= len(peers.calls) <= 4 * 15 + 8  # 240 to 300 s each, after the first ones
    assert {d.attempts for d in waiting} == {len(peers.calls)}
    assert max(d.next_attempt_at for d in waiting) <= clock.now + timedelta(seconds=300)
    assert {d.failing_since for d in waiting} == {first[0].failing_since}
    with mail.database.read() as session:
        (trouble,) = troubles(session)
    assert (trouble.destination, trouble.objects, trouble.since) == ("pacs", 3, first[0].failing_since)
    assert "cannot be reached" in trouble.message
    peers.scripts["pacs"] = well
    pass_time(mail, clock, minutes=5)
    assert mail.states() == [SENT] * 3
    with mail.database.read() as session:
        assert troubles(session) == []


def test_a_dead_destination_is_put_off_as_a_whole_however_much_waits_for_it(post, clock):
    mail, peers = post(objects=120, pacs=down)
    mail.run()
    assert len(peers.calls) == 1
    assert {d.attempts for d in mail.deliveries()} == {1}
    pass_time(mail, clock, minutes=10)
    assert len(peers.calls) < 12


def test_a_new_object_for_a_dead_destination_is_tried_at_once_and_shares_its_pause(post, clock, tmp_path):
    mail, peers = post(pacs=down)
    pass_time(mail, clock, hours=1)
    calls = len(peers.calls)
    (tmp_path / "new.dcm").write_text("new")
    mail.add(tmp_path / "new.dcm", "pacs")
    mail.run()
    assert len(peers.calls) == calls + 1
    assert {d.state for d in mail.deliveries()} == {PENDING}
    pass_time(mail, clock, minutes=30)
    assert len(peers.calls) <= calls + 2 + 30 / 4


def test_an_object_that_breaks_the_line_each_time_holds_up_no_other(post, clock, tmp_path):
    def chokes(_number, path):
        return "abort" if path is not None and path.stem == "1" else 0

    mail, peers = post(objects=6, pacs=chokes)
    mail.run()
    assert mail.states() == [SENT, PENDING, SENT, SENT, SENT, SENT]
    assert [d.attempts for d in mail.deliveries()] == [1] * 6
    for number in range(20):
        path = tmp_path / f"new{number}.dcm"
        path.write_text(path.stem)
        mail.add(path, "pacs")
        mail.run()
        clock.turn(minutes=4)
    pass_time(mail, clock, minutes=6)
    assert mail.states().count(SENT) == 25
    assert peers.requests.count(("pacs", "0")) == 1


def test_a_peer_that_hangs_up_whatever_it_gets_is_given_pauses_and_charges_only_what_was_sent(post, clock):
    mail, peers = post(objects=10, pacs=lambda _number, path: 0 if path is None else "abort")
    mail.run()
    assert len(peers.calls) == 2
    assert sorted(d.attempts for d in mail.deliveries()) == [0] * 8 + [1] * 2
    assert all(d.failing_since for d in mail.deliveries())
    pass_time(mail, clock, hours=1)
    assert len(peers.calls) < 40
    assert set(mail.states()) == {PENDING}
    peers.scripts["pacs"] = well
    pass_time(mail, clock, minutes=11)
    assert mail.states() == [SENT] * 10


def test_a_peer_that_is_full_for_hours_is_not_flooded_and_then_gets_everything(post, clock):
    mail, peers = post(objects=10, pacs=lambda _number, path: 0 if path is None else 0xA700)
    pass_time(mail, clock, hours=5)
    assert set(mail.states()) == {PENDING}
    assert len(peers.requests) < 100
    peers.scripts["pacs"] = well
    pass_time(mail, clock, minutes=11)
    assert mail.states() == [SENT] * 10


def test_an_object_that_is_refused_a_dozen_times_fails_after_half_an_hour_and_the_others_went(post, clock):
    def refuses(_number, path):
        return 0xC000 if path is not None and path.stem == "0" else 0

    mail, peers = post(pacs=refuses)
    began = clock.now
    mail.run()
    assert mail.states() == [PENDING, SENT, SENT]
    while mail.states()[0] is PENDING:
        clock.now = mail.deliveries()[0].next_attempt_at
        mail.run()
    assert timedelta(minutes=20) < clock.now - began < timedelta(minutes=40)
    assert mail.states()[0] is FAILED
    assert peers.requests.count(("pacs", "0")) == MAX_REFUSALS
    assert "cannot understand" in mail.deliveries()[0].message
    pass_time(mail, clock, hours=2)
    assert peers.requests.count(("pacs", "0")) == MAX_REFUSALS


def test_a_dead_line_counts_for_no_refusal(post, clock):
    mail, peers = post(objects=1, pacs=down)
    pass_time(mail, clock, hours=10)
    peers.scripts["pacs"] = lambda _number, path: 0 if path is None else 0xC000
    pass_time(mail, clock, minutes=6)
    assert mail.states() == [PENDING]
    assert mail.deliveries()[0].refusals in {1, 2, 3, 4, 5, 6, 7}


def test_what_is_cancelled_between_two_objects_is_not_sent(post):
    def cancels_the_next(_number, path):
        if path is not None:
            with mail.database.write() as session:
                session.get_one(Delivery, 2).state = CANCELLED
        return 0

    mail, peers = post(pacs=cancels_the_next)
    mail.run()
    assert mail.states() == [SENT, CANCELLED, SENT]
    assert [path for _, path in peers.stored] == ["0", "2"]


@pytest.mark.parametrize(
    ("answer", "state"), [(0xC000, CANCELLED), ("abort", CANCELLED), (0, SENT), (0xA700, CANCELLED)]
)
def test_what_is_cancelled_while_it_is_sent_stays_so_unless_it_arrived(post, clock, answer, state):
    def cancels_this(_number, path):
        if path is None:
            return 0
        with mail.database.write() as session:
            session.get_one(Delivery, 1).state = CANCELLED
        return answer

    mail, peers = post(objects=1, pacs=cancels_this)
    pass_time(mail, clock, hours=1)
    assert mail.states() == [state]
    assert len(peers.requests) == 1


def test_a_restart_takes_up_every_delivery_where_it_stood(post, clock):
    mail, peers = post(pacs=down)
    pass_time(mail, clock, hours=1)
    attempts = mail.deliveries()[0].attempts
    mail.outbox.stop()
    mail.open_outbox()
    mail.run()
    assert mail.deliveries()[0].attempts == attempts  # not due yet
    peers.scripts["pacs"] = well
    pass_time(mail, clock, minutes=6)
    assert mail.states() == [SENT] * 3


def test_a_reload_adds_destinations_and_calls_a_corrected_one_at_once(post, clock, tmp_path):
    mail, peers = post(pacs=down)
    pass_time(mail, clock, hours=1)
    peers.scripts |= {"corrected": well, "new": well}
    mail.outbox.reload(
        mail.config.model_copy(update={"destinations": (place("pacs", ae_title="corrected"), place("new"))})
    )
    (tmp_path / "new.dcm").write_text("new")
    mail.add(tmp_path / "new.dcm", "new")
    mail.run()
    assert mail.states("pacs") == [SENT] * 3
    assert mail.states("new") == [SENT]


def test_a_destination_that_is_gone_from_the_config_waits_and_says_so_until_it_is_back(post, clock):
    mail, peers = post(pacs=well)
    mail.outbox.reload(mail.config.model_copy(update={"destinations": ()}))
    pass_time(mail, clock, hours=1)
    assert mail.states() == [PENDING] * 3
    assert "no destination 'pacs' any more" in mail.deliveries()[0].message
    assert peers.calls == []
    mail.outbox.reload(mail.config)
    mail.run()
    assert mail.states() == [SENT] * 3


def test_a_peer_that_answers_nothing_delays_no_other_and_is_called_only_once(post):
    silence = threading.Event()

    def silent(_number, path):
        if path is not None:
            silence.wait(20)
        return 0

    mail, peers = post(silent=silent, one=well, two=well)
    try:
        mail.outbox.run()
        deadline = time.monotonic() + 15
        while mail.states("one") + mail.states("two") != [SENT] * 6:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert mail.states("silent") == [PENDING] * 3
        mail.outbox.run()
        assert peers.calls.count("silent") == 1
    finally:
        silence.set()


def test_a_stop_ends_a_round_between_two_objects_and_loses_none(post):
    stopping = threading.Event()

    def slow(_number, path):
        if path is not None:
            stopping.wait(20)
        return 0

    mail, peers = post(pacs=slow)
    mail.outbox.run()
    while not peers.requests:
        time.sleep(0.005)
    stopper = threading.Thread(target=mail.outbox.stop)
    stopper.start()
    while not mail.outbox._rounds.stopping:
        time.sleep(0.005)
    stopping.set()
    stopper.join(10)
    assert not stopper.is_alive()
    assert mail.states() == [SENT, PENDING, PENDING]
    assert [d.attempts for d in mail.deliveries()] == [1, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_three_peers_do_for_hours_in_the_end_everything_has_arrived_or_says_why_not(post, clock, seed):
    chance = random.Random(seed)  # noqa: S311 - guards nothing
    mood: dict[str, bool] = {}

    def moody(name, answers):
        def script(_number, path):
            if mood.get("well"):
                return 0
            if path is None:
                return chance.choice(["down", 0, 0])
            return chance.choice(answers)

        return name, script

    mail, peers = post(
        objects=8,
        **dict(
            [
                moody("breaking", [0, "abort", "abort"]),
                moody("full", [0xA700, 0x0110, 0xB000]),
                moody("picky", [0xC000, 0xA900, 0xC000, 0xC000, 0xC000, 0, "unsupported"]),
            ]
        ),
    )
    pass_time(mail, clock, hours=chance.choice([0.1, 1, 3]))
    mood["well"] = True
    pass_time(mail, clock, minutes=11)
    assert PENDING not in mail.states()
    for delivery, path in zip(mail.deliveries(), [str(n) for n in range(8)] * 3, strict=True):
        arrived = delivery.state in {SENT, DeliveryState.WARNED}
        assert peers.stored.count((delivery.destination, path)) == arrived
        assert arrived or delivery.message
        assert delivery.state is not FAILED or delivery.refusals == MAX_REFUSALS


def test_a_dead_destination_is_told_when_it_begins_and_when_it_is_over(post, clock, caplog):
    caplog.set_level("INFO")
    mail, peers = post(pacs=down)
    caplog.clear()
    pass_time(mail, clock, minutes=2)
    assert len(peers.calls) > 3
    (begun,) = [r.getMessage() for r in caplog.records]
    assert begun.startswith("nothing can be delivered to pacs: ")
    assert "cannot be reached" in begun
    peers.scripts["pacs"] = well
    caplog.clear()
    pass_time(mail, clock, minutes=5)
    assert caplog.records[0].getMessage() == "pacs takes results again"
    assert "objects delivered to pacs" in caplog.text


def test_a_peer_that_hangs_up_each_time_is_told_once(post, clock, caplog):
    caplog.set_level("INFO")
    mail, peers = post(pacs=lambda _n, _p: "abort")
    caplog.clear()
    pass_time(mail, clock, minutes=2)
    assert len(peers.calls) > 3
    (begun,) = [r.getMessage() for r in caplog.records]
    assert begun.startswith("nothing can be delivered to pacs: ")


def test_what_a_destination_wants_no_more_is_not_sent_and_the_others_go(post, clock):
    mail, peers = post(pacs=lambda _n, path: "abort" if path and path.stem == "1" else 0, archive=down)
    with mail.database.write() as session:
        session.get_one(Result, 2).kind = "key-image"
    mail.run()
    assert PENDING in mail.states("pacs")
    changed = place("pacs", objects=("report",))
    mail.outbox.reload(mail.config.model_copy(update={"destinations": (changed, place("archive"))}))
    asked = len(peers.requests)
    pass_time(mail, clock, minutes=10)
    assert mail.states("pacs") == [SENT, DeliveryState.UNWANTED, SENT]
    assert ("pacs", "1") not in peers.requests[asked:]
    assert mail.states("archive") == [PENDING] * 3
