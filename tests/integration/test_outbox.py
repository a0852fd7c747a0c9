"""Results on their way to a PACS that is down, slow, silent, refuses, warns, aborts or does not take an object."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from db.models import Result
from db.states import DeliveryState
from node.sections import Destination
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.fake_pacs import (
    CALLED_NOT_RECOGNISED,
    CALLING_NOT_RECOGNISED,
    CANNOT_UNDERSTAND,
    COERCED,
    LIMIT_EXCEEDED,
    OUT_OF_RESOURCES,
    BlackHole,
    FakePacs,
)
from tests.post import CT_IMAGE, ENDED, Post


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Three small DICOM objects; any will do."""
    chest = make_chest(slices=3, rows=32, columns=32, spacing_mm=(80.0, 11.0, 11.0))
    return write(tmp_path_factory.mktemp("objects"), to_datasets(chest))


@pytest.fixture
def post(tmp_path, objects):
    made = []

    def make(*, objects=objects, timeout_s=2, **destinations):
        outbox = {"retry_after_s": 0.2, "retry_at_most_every_s": 0.4, "timeout_s": timeout_s}
        made.append(Post(tmp_path, objects, destinations, outbox=outbox))
        return made[-1]

    yield make
    for item in made:
        item.close()


def all_in(state):
    return lambda deliveries: all(d.state is state for d in deliveries)


def test_results_arrive_in_order_byte_for_byte_and_once(post, fake_pacs, objects):
    mail = post(pacs=fake_pacs.port)
    mail.run_until(all_in(DeliveryState.SENT))
    mail.outbox.run()
    assert [r.sop_instance_uid for r in fake_pacs.stored] == [p.stem for p in objects]
    assert fake_pacs.associations == 1
    for kept, path in zip(fake_pacs.stored, objects, strict=True):
        assert kept.file.read_bytes()[-2000:] == path.read_bytes()[-2000:]


def test_a_destination_that_is_down_gets_everything_when_it_is_back(post, fake_pacs):
    mail = post(pacs=fake_pacs.port)
    fake_pacs.stop()
    waiting = mail.run_until(lambda ds: all(d.attempts >= 2 for d in ds))
    assert all_in(DeliveryState.PENDING)(waiting)
    assert "cannot be reached" in waiting[0].message
    fake_pacs.start()
    mail.run_until(all_in(DeliveryState.SENT))


def test_a_refusal_is_tried_again_and_a_warning_counts_as_stored(post, fake_pacs):
    fake_pacs.answers = (OUT_OF_RESOURCES, CANNOT_UNDERSTAND, COERCED, 0)
    ended = post(pacs=fake_pacs.port).run_until(lambda ds: all(d.state is not DeliveryState.PENDING for d in ds))
    assert sorted(d.state for d in ended) == [DeliveryState.SENT, DeliveryState.SENT, DeliveryState.WARNED]
    assert len(fake_pacs.stored) == 3


def test_what_the_peer_does_not_take_is_final_and_said(post, fake_pacs):
    fake_pacs.refused_sop_classes = {CT_IMAGE}
    fake_pacs.stop()
    fake_pacs.start()
    ended = post(pacs=fake_pacs.port).run_until(lambda ds: all(d.state is not DeliveryState.PENDING for d in ds), 10)
    assert {d.state for d in ended} <= {DeliveryState.UNSUPPORTED}
    assert "does not take CT Image Storage" in ended[0].message


def test_an_association_aborted_half_way_keeps_what_arrived_and_sends_the_rest(post, fake_pacs):
    fake_pacs.abort_after = 1
    mail = post(pacs=fake_pacs.port)
    mail.run_until(all_in(DeliveryState.SENT))
    uids = [r.sop_instance_uid for r in fake_pacs.stored]
    assert len(uids) == len(set(uids)) == 3


def test_a_dead_destination_delays_only_itself(post, fake_pacs):
    mail = post(alive=fake_pacs.port, dead=1)
    deliveries = mail.run_until(lambda ds: sum(d.state is DeliveryState.SENT for d in ds) == 3)
    assert {d.destination for d in deliveries if d.state is DeliveryState.SENT} == {"alive"}


def test_a_damaged_result_file_is_reported_and_never_sent(post, fake_pacs, objects, tmp_path):
    mail = post(pacs=fake_pacs.port)
    with mail.database.write() as session:
        session.scalars(select(Result)).first().sha256 = "0" * 64
    ended = mail.run_until(lambda ds: all(d.state is not DeliveryState.PENDING for d in ds))
    assert [d.state for d in ended] == [DeliveryState.FAILED, DeliveryState.SENT, DeliveryState.SENT]
    assert "damaged" in ended[0].message
    assert len(fake_pacs.stored) == 2


def test_a_host_that_has_no_address_is_a_failed_attempt_like_any_other(post):
    mail = post(pacs=104)
    nowhere = Destination(name="pacs", host="no.such.host.invalid", port=104, ae_title="PACS")
    mail.outbox.reload(mail.config.model_copy(update={"destinations": (nowhere,)}))
    waiting = mail.run_until(lambda ds: all(d.attempts >= 1 for d in ds))
    assert all_in(DeliveryState.PENDING)(waiting)
    assert "no.such.host.invalid" in waiting[0].message


def test_a_round_that_cannot_be_recorded_is_not_sent_over_and_over(post, fake_pacs, monkeypatch):
    mail = post(pacs=fake_pacs.port)

    def full(_attempts):
        raise OSError("disk full")

    monkeypatch.setattr(mail.outbox, "_record", full)
    monkeypatch.setattr(mail.outbox._backoff.__class__, "after", lambda *_: timedelta(seconds=60))
    for _ in range(20):
        mail.outbox.run()
        time.sleep(0.05)
    assert len(fake_pacs.requests) == 1
    monkeypatch.undo()
    mail.outbox._paused.clear()
    mail.run_until(all_in(DeliveryState.SENT))


@pytest.mark.parametrize(
    ("rejection", "remedy"),
    [
        (CALLING_NOT_RECOGNISED, "add AE title OPACITY_NODE to its list"),
        (CALLED_NOT_RECOGNISED, "does not answer to AE title PACS; correct ae_title"),
        (LIMIT_EXCEEDED, "as many associations as it allows"),
        ((1, 1, 1), "its log may"),
    ],
)
def test_a_rejection_is_tried_again_and_names_its_remedy(post, fake_pacs, rejection, remedy):
    fake_pacs.rejects = rejection
    mail = post(pacs=fake_pacs.port)
    (waiting, *_) = mail.run_until(lambda ds: all(d.attempts >= 1 for d in ds))
    assert "rejected the association" in waiting.message
    assert remedy in waiting.message
    fake_pacs.rejects = None
    mail.run_until(all_in(DeliveryState.SENT))


def test_an_object_at_which_the_peer_aborts_each_time_holds_up_no_other(post, fake_pacs, objects):
    fake_pacs.aborts_at = {objects[0].stem}
    mail = post(pacs=fake_pacs.port)
    (poison, *others) = mail.run_until(lambda ds: [d.state for d in ds].count(DeliveryState.SENT) == 2)
    assert poison.state is DeliveryState.PENDING
    assert poison.attempts >= 1
    assert [d.attempts for d in others] == [1, 1]
    fake_pacs.aborts_at = set()
    mail.run_until(all_in(DeliveryState.SENT))


def test_a_black_hole_and_a_slow_peer_delay_no_other_and_no_stop(post, tmp_path, fake_pacs, objects):
    with (
        BlackHole() as mute,
        BlackHole(takes_connections=False) as walled,
        FakePacs(tmp_path / "slow", delay_s=60) as slow,
    ):
        mail = post(mute=mute.port, walled=walled.port, slow=slow.port, well=fake_pacs.port, timeout_s=30)
        began = time.monotonic()
        mail.run_until(lambda _: mail.states("well") == [DeliveryState.SENT] * 3, limit_s=20)
        assert time.monotonic() - began < 20  # any of the others would have taken 30 s
        assert [r.sop_instance_uid for r in fake_pacs.stored] == [path.stem for path in objects]
        assert set(mail.states("mute") + mail.states("walled") + mail.states("slow")) == {DeliveryState.PENDING}
        stopping = time.monotonic()
        mail.outbox.stop()
        assert time.monotonic() - stopping < 10
        assert not mail.outbox._rounds._running
        assert {d.attempts for d in mail.deliveries() if d.destination != "well"} == {0}  # we hung up, not they


def test_a_peer_that_stops_reading_half_way_is_hung_up_on_and_tried_again(post, tmp_path):
    big = make_chest(slices=1, rows=4096, columns=2048, spacing_mm=(80.0, 1.0, 1.0))
    (path,) = write(tmp_path / "big", to_datasets(big))
    with FakePacs(tmp_path / "stalling") as pacs:
        mail = post(objects=[path], pacs=pacs.port, timeout_s=1)
        pacs.reading.clear()
        # The time that its bytes would be given on a slow line is 168 s.
        (waiting,) = mail.run_until(lambda ds: "before it answered" in (ds[0].message or ""), limit_s=60)
        assert waiting.state is DeliveryState.PENDING
        pacs.reading.set()
        mail.run_until(all_in(DeliveryState.SENT))


def test_an_object_that_the_peer_holds_already_has_arrived(post, fake_pacs):
    fake_pacs.answers = (0x0111,)
    ended = post(pacs=fake_pacs.port).run_until(lambda ds: all(d.state in ENDED for d in ds))
    assert {d.state for d in ended} == {DeliveryState.WARNED}
    assert "already" in ended[0].message
