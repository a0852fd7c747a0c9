"""Results on their way to a PACS that is down, refuses, warns, aborts or does not take an object."""

import hashlib
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from db import schema
from db.models import Delivery, Result
from db.repository import jobs
from db.repository.jobs import NewResult
from db.session import Database
from db.states import DeliveryState
from node.config import Config, Destination, Rule
from node.config import Outbox as OutboxSettings
from node.outbox import Backoff, Outbox
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.fake_pacs import CANNOT_UNDERSTAND, COERCED, OUT_OF_RESOURCES
from tests.rows import new_job, settled_study

NOW = datetime.now(UTC)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Three small DICOM objects; any will do."""
    chest = make_chest(slices=3, rows=32, columns=32, spacing_mm=(80.0, 11.0, 11.0))
    return write(tmp_path_factory.mktemp("objects"), to_datasets(chest))


class Post:
    """An outbox with results in its database, and its rounds."""

    def __init__(self, folder, objects, **destinations):
        self.database = Database(f"sqlite:///{folder / 'node.sqlite3'}")
        schema.upgrade(self.database)
        self._done = threading.Event()
        config = Config(
            destinations=tuple(
                Destination(name=name, host="127.0.0.1", port=port, ae_title="PACS")
                for name, port in destinations.items()
            ),
            rules=(Rule(name="r", modality="CT", pipelines=("lung-densitometry",), destinations=tuple(destinations)),),
            outbox=OutboxSettings(retry_after_s=0.2, retry_at_most_every_s=0.4, timeout_s=2),
        )
        self.outbox = Outbox(database=self.database, storage=folder, config=config, on_done=self._done.set)
        with self.database.write() as session:
            (job_id,) = settled_study(session, NOW, new_job(destinations=tuple(destinations)))
            jobs.succeed(
                session,
                job_id,
                now=NOW,
                results=[result(path) for path in objects],
                timings={},
                summary={},
            )

    def run_until(self, condition, limit_s=30):
        deadline = time.monotonic() + limit_s
        while not condition(self.deliveries()):
            assert time.monotonic() < deadline, self.deliveries()
            self.outbox.run()
            self._done.wait(0.1)
            self._done.clear()
        return self.deliveries()

    def deliveries(self):
        with self.database.read() as session:
            rows = session.scalars(select(Delivery).join(Result).order_by(Delivery.destination, Result.position))
            return list(rows)


def result(path):
    data = path.read_bytes()
    return NewResult(
        kind="sr",
        sop_instance_uid=path.stem,
        sop_class_uid=CT_IMAGE,
        series_instance_uid="1.3",
        path=str(path),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        device_uid="2.25.7",
    )


@pytest.fixture
def post(tmp_path, objects):
    made = []

    def make(**destinations):
        made.append(Post(tmp_path, objects, **destinations))
        return made[-1]

    yield make
    for item in made:
        item.outbox.stop()
        item.database.close()


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


def test_the_pause_doubles_up_to_its_limit_with_jitter():
    backoff = Backoff(first_s=5, limit_s=300)
    pauses = [[backoff.after(n).total_seconds() for _ in range(50)] for n in (1, 2, 3, 20, 10_000)]
    for pause, longest in zip(pauses, (5, 10, 20, 300, 300), strict=True):
        assert 0.8 * longest <= min(pause) < max(pause) <= longest


def test_a_host_that_has_no_address_is_a_failed_attempt_like_any_other(post):
    mail = post(pacs=104)
    mail.outbox._config = mail.outbox._config.model_copy(
        update={"destinations": (Destination(name="pacs", host="no.such.host.invalid", port=104, ae_title="PACS"),)}
    )
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
