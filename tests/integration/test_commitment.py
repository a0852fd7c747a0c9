"""Objects that a destination is asked to keep: what it confirms, loses, forgets to say, or knows nothing of."""

import threading

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, _config
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from db.states import DeliveryState
from handlers.association import Associations
from handlers.commitment import CommitmentHandler
from handlers.refusals import Refusals
from node.commitment import MAX_REFUSALS
from node.sections import Destination, Dicom
from node.server import Server
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.fake_pacs import COERCED, NO_SUCH_OBJECT, FakePacs
from tests.orthanc import Orthanc
from tests.post import Clock, Post
from tests.processes import LOOPBACK, free_port

COMMITTED, SENT, PENDING, FAILED = (
    DeliveryState.COMMITTED,
    DeliveryState.SENT,
    DeliveryState.PENDING,
    DeliveryState.FAILED,
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    chest = make_chest(slices=2, rows=32, columns=32, spacing_mm=(80.0, 11.0, 11.0))
    return write(tmp_path_factory.mktemp("objects"), to_datasets(chest))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def post(tmp_path, objects, clock):
    """Make an outbox whose only destination is to confirm."""
    made = []

    def make(port, **changes):
        values = {"name": "pacs", "host": LOOPBACK, "port": port, "ae_title": "PACS", "storage_commitment": True}
        made.append(Post(tmp_path, objects, {"pacs": Destination(**(values | changes))}, clock=clock))
        return made[-1]

    yield make
    for mail in made:
        mail.close()


@pytest.fixture
def listen(monkeypatch):
    """Make our own SCP, to which a PACS reports on a new association."""
    # It sets this for the whole process; no other test's PACS is to accept everything.
    monkeypatch.setattr(_config, "UNRESTRICTED_STORAGE_SERVICE", _config.UNRESTRICTED_STORAGE_SERVICE)
    made = []

    def make(on_report):
        settings = Dicom(port=free_port())
        server = Server(
            settings,
            store=lambda _: 0xA700,
            associations=Associations(),
            commitment=CommitmentHandler(on_report),
            refusals=Refusals(),
        )
        server.start()
        made.append(server)
        return settings.ae_title, settings.port

    yield make
    for server in made:
        server.stop(grace_s=0)


@pytest.fixture
def pacs(tmp_path):
    """Make a PACS that confirms storage in one way or another."""
    made = []

    def make(commitment, **changes):
        made.append(FakePacs(tmp_path / f"pacs{len(made)}", commitment=commitment, **changes))
        made[-1].start()
        return made[-1]

    yield make
    for peer in made:
        peer.stop()


def test_a_report_on_the_same_association_commits(post, pacs, objects):
    peer = pacs("same")
    mail = post(peer.port)
    mail.run()
    assert mail.states() == [COMMITTED] * 2
    assert peer.report_statuses == [0x0000]
    ((_, asked),) = peer.asked
    assert sorted(asked) == sorted(path.stem for path in objects)
    assert all(d.committed_at and d.next_attempt_at is None and d.message is None for d in mail.deliveries())


def test_a_report_on_a_new_association_commits_in_one_transaction(post, pacs, listen):
    peer = pacs("new")
    mail = post(peer.port)
    peer.reports_to = listen(mail.outbox.confirmed)
    mail.run()
    assert mail.states() == [COMMITTED] * 2
    assert len(peer.asked) == 1
    assert peer.report_statuses == [0x0000]


def test_an_object_that_was_stored_with_a_warning_is_committed_too_and_keeps_its_status(post, pacs):
    peer = pacs("same", answers=(COERCED,))
    mail = post(peer.port)
    mail.run()
    assert mail.states() == [COMMITTED] * 2
    assert {d.status for d in mail.deliveries()} == {COERCED}
    assert "warning" in mail.deliveries()[0].message


def test_what_the_peer_does_not_keep_is_sent_again_and_after_the_third_time_fails(post, pacs, objects, clock):
    lost, kept = objects[0].stem, objects[1].stem
    peer = pacs("same", not_kept={lost: NO_SUCH_OBJECT})
    mail = post(peer.port)
    mail.run()
    by_uid = dict(zip([path.stem for path in objects], mail.deliveries(), strict=True))
    assert by_uid[kept].state is COMMITTED
    assert by_uid[lost].state is PENDING
    assert "does not keep it: 0x0112, no such object" in by_uid[lost].message
    for _ in range(MAX_REFUSALS):
        clock.turn(minutes=5)
        mail.run()
    assert sorted(mail.states()) == [COMMITTED, FAILED]
    assert [r.sop_instance_uid for r in peer.stored].count(lost) == MAX_REFUSALS
    assert [r.sop_instance_uid for r in peer.stored].count(kept) == 1
    assert "resend" in next(d.message for d in mail.deliveries() if d.state is FAILED)


def test_an_object_that_was_lost_once_is_committed_the_second_time(post, pacs, objects, clock):
    peer = pacs("same", not_kept={objects[0].stem: NO_SUCH_OBJECT})
    mail = post(peer.port)
    mail.run()
    peer.not_kept = {}
    clock.turn(minutes=5)
    mail.run()
    assert mail.states() == [COMMITTED] * 2


def test_a_peer_that_offers_no_commitment_leaves_the_objects_sent_and_says_so(post, pacs, clock):
    peer = pacs("none")
    mail = post(peer.port)
    mail.run()
    assert mail.states() == [SENT] * 2
    assert "offers no storage commitment" in mail.deliveries()[0].message
    clock.turn(days=1)
    mail.run()
    assert peer.associations == 2  # one to store, one to ask, none since


def test_a_destination_that_is_not_to_confirm_is_not_asked(post, pacs, clock):
    peer = pacs("same")
    mail = post(peer.port, storage_commitment=False)
    mail.run()
    clock.turn(days=1)
    mail.run()
    assert mail.states() == [SENT] * 2
    assert peer.asked == []


def test_a_peer_that_never_reports_is_asked_again_after_the_time_limit(post, pacs, clock, monkeypatch):
    monkeypatch.setattr("node.commitment._HOLD_S", 0.2)
    peer = pacs("silent")
    mail = post(peer.port)
    mail.run()
    clock.turn(minutes=59)
    mail.run()
    assert len(peer.asked) == 1
    clock.turn(minutes=2)
    mail.run()
    assert len({transaction for transaction, _ in peer.asked}) == 2
    assert "did not report" in mail.deliveries()[0].message
    assert mail.deliveries()[0].failing_since
    monkeypatch.undo()
    peer.commitment = "same"
    clock.turn(hours=2)
    mail.run()
    assert mail.states() == [COMMITTED] * 2
    assert not mail.deliveries()[0].failing_since


def test_a_report_after_a_restart_is_known(post, pacs, listen, monkeypatch):
    monkeypatch.setattr("node.commitment._HOLD_S", 0.2)
    peer = pacs("silent")
    mail = post(peer.port)
    mail.run()
    assert mail.states() == [SENT] * 2
    mail.outbox.stop()
    mail.open_outbox()
    peer.reports_to = listen(mail.outbox.confirmed)
    ((transaction, uids),) = peer.asked
    peer.send_report(report(transaction, uids))
    assert peer.report_statuses == [0x0000]
    assert mail.states() == [COMMITTED] * 2


def test_a_peer_that_cannot_be_asked_is_asked_again_soon(post, pacs, clock):
    peer = pacs("same")
    mail = post(peer.port)
    accepted = iter([None, (2, 3, 2)])  # the association that stores, then the one that asks
    peer._requested = lambda event: reject(event, next(accepted, None))
    peer.stop()
    peer.start()
    mail.run()
    assert mail.states() == [SENT] * 2
    assert "as many associations" in mail.deliveries()[0].message
    clock.turn(seconds=6)
    mail.run()
    assert mail.states() == [COMMITTED] * 2


def test_a_report_is_answered_with_success_only_when_it_was_recorded(pacs, listen):
    peer = pacs("silent")

    def breaks(_report):
        raise OSError("disk full")

    for on_report, status in (
        (breaks, 0x0110),
        (lambda _: None, 0x0110),
        (lambda _: False, 0x0115),
        (lambda _: True, 0),
    ):
        peer.reports_to = listen(on_report)
        peer.send_report(report(generate_uid(), ["1.2.3"]))
        assert peer.report_statuses[-1] == status


def test_a_report_that_lacks_its_transaction_is_refused_and_a_request_to_us_too(pacs, listen):
    peer = pacs("silent")
    peer.reports_to = ae_title, port = listen(lambda _: True)
    nameless = report("1.2", ["1.3"])
    del nameless.TransactionUID
    peer.send_report(nameless)
    assert peer.report_statuses[-1] == 0x0115
    entity = AE()
    entity.add_requested_context(StorageCommitmentPushModel)
    association = entity.associate(LOOPBACK, port, ae_title=ae_title)
    status, _ = association.send_n_action(
        report("1.2", ["1.3"]), 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    association.release()
    assert status.Status == 0x0122


def test_orthanc_confirms_what_it_has_and_reports_what_it_lost(post, tmp_path, listen, clock):
    with Orthanc(tmp_path / "orthanc") as orthanc:
        reported = threading.Event()

        def confirmed(report):
            answer = mail.outbox.confirmed(report)
            reported.set()
            return answer

        mail = post(orthanc.port, ae_title=orthanc.ae_title)
        ae_title, port = listen(confirmed)
        orthanc.admit(ae_title, port)
        mail.run()
        assert reported.wait(20)
        assert mail.states() == [COMMITTED] * 2

        for delivery in mail.deliveries():
            resend(mail, delivery)
        assert len(orthanc.instances()) == 2
        store = mail.outbox._send
        mail.outbox._send = lambda *arguments, **options: lose(orthanc, store(*arguments, **options))
        reported.clear()
        mail.run()
        assert reported.wait(20)
        mail.outbox._send = store
        assert mail.states() == [PENDING] * 2
        assert "does not keep it" in mail.deliveries()[0].message
        clock.turn(minutes=5)
        mail.run()
        assert mail.states() == [COMMITTED] * 2


def resend(mail, delivery):
    with mail.database.write() as session:
        row = session.get_one(type(delivery), delivery.id)
        row.state, row.next_attempt_at, row.transaction_uid = PENDING, mail.outbox._clock(), None


def lose(orthanc, outcomes):
    for instance in orthanc.instances():
        orthanc.rest("DELETE", f"/instances/{instance}")
    return outcomes


def reject(event, rejection):
    if rejection is not None:
        event.assoc.acse.send_reject(*rejection)
        event.assoc.kill()


def report(transaction_uid, sop_instance_uids):
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for uid in sop_instance_uids:
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        item.ReferencedSOPInstanceUID = uid
        information.ReferencedSOPSequence.append(item)
    return information
