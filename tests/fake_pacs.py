"""Peers whose behaviour a test scripts: what Orthanc cannot be asked to do wrong."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any, Literal, Self

from pydicom import Dataset, dcmread
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

from tests.processes import LOOPBACK

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
COERCED = 0xB000  # a warning: stored all the same (PS3.4 B.2.3)
CANNOT_UNDERSTAND = 0xC000
NO_SUCH_OBJECT = 0x0112  # a Failure Reason of storage commitment (PS3.3 C.14)
CALLING_NOT_RECOGNISED = (1, 1, 3)  # results, sources and diagnostics of an A-ASSOCIATE-RJ (PS3.8 table 9-21)
CALLED_NOT_RECOGNISED = (1, 1, 7)
LIMIT_EXCEEDED = (2, 3, 2)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One C-STORE request that arrived, and how it was answered."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    calling_aet: str
    status: int | None  # None: the association was aborted instead
    file: Path | None  # None: not kept, since refused


class FakePacs:
    """Used as a context manager; listens on loopback, on a port that it keeps while it lives.

    All that it does may be changed while it runs; contexts are negotiated when an association begins.

    Parameters
    ----------
    folder
        Where it keeps what it answers with success or a warning, one file per request.
    answers
        The status for each request in turn; the last one holds for all that follow.
    refused_sop_classes
        Presentation contexts that it rejects.
    delay_s
        How long it thinks before each answer.
    abort_after
        Abort the association at the request after so many that were answered, on each association; None: never.
    aborts_at
        SOP Instance UIDs at which it aborts the association, each time.
    rejects
        Result, source and diagnostic with which it rejects every association; None: none.
    commitment
        Whether it confirms storage: not at all (it rejects the context), on the association of the request, on a new
        one to `reports_to`, or by accepting the request and keeping silent.
    reports_to
        AE title and port, on loopback.
    not_kept
        Failure Reason by SOP Instance UID, for its reports.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "PACS",
        answers: Sequence[int] = (SUCCESS,),
        refused_sop_classes: Iterable[str] = (),
        delay_s: float = 0,
        abort_after: int | None = None,
        aborts_at: Iterable[str] = (),
        rejects: tuple[int, int, int] | None = None,
        commitment: Literal["none", "same", "new", "silent"] = "none",
        reports_to: tuple[str, int] = ("", 0),
        not_kept: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.host = LOOPBACK
        self.port = 0
        self.answers = answers
        self.refused_sop_classes = set(refused_sop_classes)
        self.transfer_syntaxes: Sequence[str] = AllTransferSyntaxes
        self.delay_s = delay_s
        self.abort_after = abort_after
        self.aborts_at = set(aborts_at)
        self.rejects = rejects
        self.commitment = commitment
        self.reports_to = reports_to
        self.not_kept = dict(not_kept or {})
        self.reading = threading.Event()  # cleared, it associates and then reads no more
        self.reading.set()
        self.asked: list[tuple[str, list[str]]] = []  # transactions of storage commitment, and what each was about
        self.report_statuses: list[int | None] = []  # how its reports were answered
        self.requests: list[Request] = []
        self.associations = 0
        self._server: Any = None
        self._answered: dict[int, int] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Come up; after a :meth:`stop` on the same port."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=self.ae_title)
        entity.maximum_pdu_size = 0
        entity.require_called_aet = True
        entity.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax not in self.refused_sop_classes:
                entity.add_supported_context(context.abstract_syntax, self.transfer_syntaxes)
        if self.commitment != "none":
            entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers = [
            (evt.EVT_CONN_OPEN, self._connected),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_DATA_RECV, self._received),
            (evt.EVT_N_ACTION, self._commit),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
        ]
        self._server = entity.start_server((self.host, self.port), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        """Be down: open associations are aborted and new connections refused, until :meth:`start`."""
        self.reading.set()
        if self._server is not None:
            self._server.ae.shutdown()
            self._server = None

    @property
    def stored(self) -> list[Request]:
        """The requests that it kept."""
        return [request for request in self.requests if request.file is not None]

    def datasets(self) -> list[Dataset]:
        """Read what it kept, in the order of arrival, once per SOP Instance UID."""
        files = {request.sop_instance_uid: request.file for request in self.stored}
        return [dcmread(file) for file in files.values() if file is not None]

    def wait_for(self, stored: int, *, timeout_s: float = 60) -> list[Request]:
        """Wait until so many requests were kept, and return them."""
        deadline = time.monotonic() + timeout_s
        while len(self.stored) < stored:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.stored)} objects kept after {timeout_s} s, not {stored}")
            time.sleep(0.05)
        return self.stored

    def _connected(self, event: evt.Event) -> None:
        event.assoc.dul.socket.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

    def _requested(self, event: evt.Event) -> None:
        if self.rejects is not None:
            event.assoc.acse.send_reject(*self.rejects)
            event.assoc.kill()  # waits until it is sent

    def _received(self, event: evt.Event) -> None:
        if event.data[:1] == b"\x04":  # P-DATA-TF
            self.reading.wait(30)

    def _accepted(self, event: evt.Event) -> None:
        self.associations += 1
        self._answered[id(event.assoc)] = 0

    def _store(self, event: evt.Event) -> int:
        time.sleep(self.delay_s)
        enough = self.abort_after is not None and self._answered[id(event.assoc)] >= self.abort_after
        if enough or event.request.AffectedSOPInstanceUID in self.aborts_at:
            self._note(event, status=None, file=None)
            event.assoc.abort()
            return OUT_OF_RESOURCES  # never reaches the peer
        status = self.answers[min(len(self.requests), len(self.answers) - 1)]
        file = None
        if status == SUCCESS or status >> 12 == 0xB:
            file = self.folder / f"{len(self.requests):05d}.dcm"
            file.write_bytes(event.encoded_dataset())
        self._answered[id(event.assoc)] += 1
        self._note(event, status=status, file=file)
        return status

    def _note(self, event: evt.Event, *, status: int | None, file: Path | None) -> None:
        self.requests.append(
            Request(
                sop_class_uid=str(event.request.AffectedSOPClassUID),
                sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
                transfer_syntax=str(event.context.transfer_syntax),
                calling_aet=event.assoc.requestor.ae_title,
                status=status,
                file=file,
            )
        )

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        information = event.action_information
        uids = [str(item.ReferencedSOPInstanceUID) for item in information.ReferencedSOPSequence]
        self.asked.append((str(information.TransactionUID), uids))
        if self.commitment != "silent":
            threading.Thread(target=self._report, args=(event.assoc, information), daemon=True).start()
        return SUCCESS, None

    def _report(self, association: Any, request: Dataset) -> None:
        report = self.report(request)
        if self.commitment == "new":
            self.send_report(report)
        else:
            time.sleep(0.2)  # the answer to the request goes first
            self._send_report(association, report)

    def report(self, request: Dataset) -> Dataset:
        """What it says of what it was asked about."""
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        lost = [item for item in request.ReferencedSOPSequence if item.ReferencedSOPInstanceUID in self.not_kept]
        report.ReferencedSOPSequence = [item for item in request.ReferencedSOPSequence if item not in lost]
        for item in lost:
            item.FailureReason = self.not_kept[item.ReferencedSOPInstanceUID]
        if lost:
            report.FailedSOPSequence = lost
        return report

    def send_report(self, report: Dataset) -> None:
        """Report on a new association, as the SCP that it is."""
        entity = AE(ae_title=self.ae_title)
        entity.add_requested_context(StorageCommitmentPushModel)
        ae_title, port = self.reports_to
        role = build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        association = entity.associate(LOOPBACK, port, ae_title=ae_title, ext_neg=[role])
        if not association.is_established:
            self.report_statuses.append(None)
            return
        self._send_report(association, report)
        association.release()

    def _send_report(self, association: Any, report: Dataset) -> None:
        kind = 2 if report.get("FailedSOPSequence") else 1
        status, _ = association.send_n_event_report(
            report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        self.report_statuses.append(status.get("Status"))


class BlackHole:
    """A port that swallows: it takes connections and never says a word, or never even takes them.

    Parameters
    ----------
    takes_connections
        False: what is sent to it is dropped, as by a firewall.
    """

    def __init__(self, *, takes_connections: bool = True) -> None:
        self._listener = socket.socket()
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen(64 if takes_connections else 0)
        self.port = int(self._listener.getsockname()[1])
        self._fill = [socket.socket() for _ in range(0 if takes_connections else 4)]

    def __enter__(self) -> Self:
        for filler in self._fill:  # Linux drops what comes when nobody takes what came before
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((LOOPBACK, self.port))
        return self

    def __exit__(self, *_: object) -> None:
        for each in [*self._fill, self._listener]:
            each.close()


class Slammer:
    """A port that resets every connection as soon as something comes over it."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._slam, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _slam(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
