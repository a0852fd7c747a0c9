"""Promising a sender to keep what it sent: Orthanc and pynetdicom ask, and get their reports."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid
from pynetdicom import AE, evt
from sqlalchemy import select, update

from db.models import CommitmentRequest, Instance, Promise, Study
from db.repository import retention
from db.repository.retention import Terms
from db.states import StudyState
from handlers.commitment_request import PUSH_MODEL, PUSH_MODEL_INSTANCE, RequestHandler
from node.config import Config
from node.elsewhere import Elsewhere
from node.promises import OpenAssociations, Promises
from node.sections import Destination, Retention
from tests.factories import SERIES, STUDY
from tests.fake_pacs import FakePacs
from tests.holdings import AE_TITLE, chest, serve
from tests.orthanc import Orthanc
from tests.processes import free_port

SLICE = (CTImageStorage, f"{SERIES}.1")
LIMIT_S = 60
A_YEAR = timedelta(days=365)


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
    return answer


class Provider:
    """A node that promises, as far as that needs."""

    def __init__(self, folder, destinations=()):
        self.associations = OpenAssociations()
        self.allowed = {"ORTHANC", "MODALITY"}
        requests = RequestHandler(lambda ae_title, _address: ae_title in self.allowed, self.record)
        config = Config(destinations=destinations, rules=(), retention=Retention(inputs_days=1))
        self.holdings = serve(folder / "node", config, requests=requests)
        self.config = self.holdings.config
        self.later = timedelta()
        self.holdings.receive(*chest(), folder=folder / "sent")
        self.start()

    def start(self):
        """Begin anew on what the database holds."""
        self.promises = Promises(
            storage=self.holdings.storage,
            database=self.holdings.database,
            config=self.config,
            associations=self.associations,
            clock=lambda: datetime.now(UTC) + self.later,
        )

    def record(self, request):
        self.associations.add(request.association)
        self.promises.add(request)
        return True

    def rows(self, query):
        with self.holdings.database.read() as session:
            return session.scalars(query).all()

    def reported(self):
        """Work once; say whether nothing is left to do."""
        self.promises.run()
        return self.rows(select(CommitmentRequest.next_attempt_at)) == [None]


@pytest.fixture
def provide(tmp_path):
    made = []

    def make(*destinations):
        made.append(Provider(tmp_path, destinations))
        return made[-1]

    yield make
    for provider in made:
        provider.holdings.close()


class Modality:
    """A sender that asks over an association and takes reports, there or at a port."""

    def __init__(self, provider, ae_title="MODALITY"):
        self.reports = []
        self.entity = AE(ae_title=ae_title)
        self.entity.add_requested_context(PUSH_MODEL)
        self.entity.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
        self.handlers = [(evt.EVT_N_EVENT_REPORT, self._take)]
        peer = provider.holdings.peer
        self.association = self.entity.associate(peer.host, peer.port, ae_title=AE_TITLE, evt_handlers=self.handlers)

    def _take(self, event):
        self.reports.append((event.event_type, event.event_information))
        return 0x0000, None

    def ask(self, *objects, transaction_uid=None, instance=PUSH_MODEL_INSTANCE, action=1):
        information = Dataset()
        information.TransactionUID = transaction_uid or generate_uid()
        information.ReferencedSOPSequence = []
        for sop_class_uid, sop_instance_uid in objects:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
            information.ReferencedSOPSequence.append(item)
        return self.association.send_n_action(information, action, PUSH_MODEL, instance)[0].Status

    def close(self):
        if self.association.is_established:
            self.association.release()


@pytest.fixture
def modality():
    made = []

    def make(provider, **options):
        made.append(Modality(provider, **options))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def test_orthanc_is_told_on_a_new_association_what_is_kept(provide, tmp_path):
    with Orthanc(tmp_path / "orthanc", calling_aets=[AE_TITLE]) as orthanc:
        provider = provide(Destination(name="o", host="127.0.0.1", port=orthanc.port, ae_title=orthanc.ae_title))
        node = {
            "AET": AE_TITLE,
            "Host": "127.0.0.1",
            "Port": provider.holdings.peer.port,
            "AllowStorageCommitment": True,
        }
        orthanc.rest("PUT", "/modalities/node", node)
        ask = "/modalities/node/storage-commitment"
        known = orthanc.rest("POST", ask, {"DicomInstances": [list(SLICE)]})
        unknown = orthanc.rest("POST", ask, {"DicomInstances": [[CTImageStorage, "1.2.3"]]})
        until(lambda: provider.promises.run() is None)
        assert orthanc.rest("GET", known["Path"])["Status"] == "Success"
        report = orthanc.rest("GET", unknown["Path"])
    assert report["Status"] == "Failure"
    assert [failure["SOPInstanceUID"] for failure in report["Failures"]] == ["1.2.3"], report


def test_a_peer_that_is_no_destination_is_told_on_its_own_association(provide, modality):
    provider = provide()
    sender = modality(provider)
    assert sender.ask(SLICE, (MRImageStorage, f"{SERIES}.2"), (CTImageStorage, "1.2.3")) == 0x0000
    until(provider.reported)
    ((event_type, report),) = until(lambda: sender.reports)
    assert event_type == 2
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [SLICE[1]]
    failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.FailedSOPSequence}
    assert failed == {f"{SERIES}.2": 0x0119, "1.2.3": 0x0112}


def test_what_is_damaged_on_disk_is_not_promised(provide, modality):
    provider = provide()
    (path,) = provider.rows(select(Instance.path).where(Instance.sop_instance_uid == SLICE[1]))
    file = provider.holdings.storage.root / path
    file.write_bytes(file.read_bytes()[:-2] + b"xx")
    sender = modality(provider)
    sender.ask(SLICE)
    until(provider.reported)
    ((_, report),) = sender.reports
    assert [item.FailureReason for item in report.FailedSOPSequence] == [0x0110]
    assert provider.rows(select(Promise.instance_id)) == []


def test_what_is_still_in_the_spool_is_waited_for(provide, modality, tmp_path):
    provider = provide()
    (late,) = chest()[:1]
    late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.9.2"
    provider.holdings.settle_down, settle = (lambda: None), provider.holdings.settle_down
    provider.holdings.receive(late, folder=tmp_path / "late")
    sender = modality(provider)
    sender.ask((CTImageStorage, f"{STUDY}.9.2"))
    assert not provider.reported()
    assert provider.rows(select(CommitmentRequest.examined)) == [False]
    settle()
    until(provider.reported)
    assert sender.reports[0][0] == 1


def test_a_report_is_sent_again_until_it_arrives_also_after_a_restart(provide, modality):
    port = free_port()
    provider = provide(Destination(name="m", host="127.0.0.1", port=port, ae_title="MODALITY"))
    sender = modality(provider)
    sender.ask(SLICE)
    sender.close()
    assert not provider.reported()
    (promised,) = provider.rows(select(Promise.instance_id))
    provider.start()
    assert not provider.reported()
    server = sender.entity.start_server(("127.0.0.1", port), block=False, evt_handlers=sender.handlers)
    provider.later = timedelta(minutes=10)
    try:
        until(provider.reported)
    finally:
        server.shutdown()
    assert [event_type for event_type, _ in sender.reports] == [1]
    assert provider.rows(select(Promise.instance_id)) == [promised]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"instance": "1.2.840.10008.1.20.1.2"}, 0x0112),
        ({"action": 2}, 0x0123),
        ({"transaction_uid": "1.2.x"}, 0x0115),
    ],
)
def test_what_cannot_be_asked_is_refused(provide, modality, options, status):
    assert modality(provide()).ask(SLICE, **options) == status


def test_whoever_is_not_named_is_promised_nothing(provide, modality):
    provider = provide()
    assert modality(provider, ae_title="STRANGER").ask(SLICE) == 0x0122
    assert provider.rows(select(CommitmentRequest.id)) == []


def test_retention_keeps_what_was_promised_until_another_peer_does(provide, modality, tmp_path):
    with FakePacs(tmp_path / "pacs", commitment="same") as pacs:
        archive = Destination(
            name="pacs", host="127.0.0.1", port=pacs.port, ae_title=pacs.ae_title, storage_commitment=True
        )
        provider = provide(archive)
        database = provider.holdings.database
        with database.write() as session:
            session.execute(update(Study).values(state=StudyState.SETTLED))
        terms = Terms(ended_before=datetime.now(UTC) + A_YEAR)
        with database.read() as session:
            assert retention.removable(session, terms) == [1]
        modality(provider).ask(SLICE)
        until(provider.reported)
        with database.read() as session:
            assert retention.removable(session, terms) == []
            assert retention.only_promised(session, terms, limit=5) == [1]
        Elsewhere(database=database, config=provider.config, clock=lambda: datetime.now(UTC) + A_YEAR).run()
        with database.read() as session:
            assert retention.removable(session, terms) == [1]
