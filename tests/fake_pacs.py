"""A Storage SCP whose behaviour a test scripts: what Orthanc cannot be asked to do wrong."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any, Self

from pydicom import Dataset, dcmread
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from tests.processes import LOOPBACK

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
COERCED = 0xB000  # a warning: stored all the same (PS3.4 B.2.3)
CANNOT_UNDERSTAND = 0xC000


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
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.host = LOOPBACK
        self.port = 0
        self.answers = answers
        self.refused_sop_classes = set(refused_sop_classes)
        self.delay_s = delay_s
        self.abort_after = abort_after
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
                entity.add_supported_context(context.abstract_syntax, AllTransferSyntaxes)
        handlers = [
            (evt.EVT_CONN_OPEN, self._connected),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
        ]
        self._server = entity.start_server((self.host, self.port), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        """Be down: open associations are aborted and new connections refused, until :meth:`start`."""
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

    def _accepted(self, event: evt.Event) -> None:
        self.associations += 1
        self._answered[id(event.assoc)] = 0

    def _store(self, event: evt.Event) -> int:
        time.sleep(self.delay_s)
        if self.abort_after is not None and self._answered[id(event.assoc)] >= self.abort_after:
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
