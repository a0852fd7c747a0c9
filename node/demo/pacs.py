"""An embedded PACS: a Storage SCP that keeps every object it gets in a folder. For the demo and benchmarks only."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from db.files import is_uid

AE_TITLE = "DEMO_PACS"


class EmbeddedPacs:
    """Listens on a free loopback port while the block runs.

    Parameters
    ----------
    folder : Path
        Takes the objects as ``<SOP Instance UID>.dcm``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._received: dict[str, float] = {}
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=AE_TITLE)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None or self._server.socket is None:
            raise RuntimeError("the PACS does not run")
        return int(self._server.socket.getsockname()[1])

    @property
    def received(self) -> dict[str, float]:
        """When each object was stored last, in POSIX seconds, by SOP Instance UID."""
        with self._lock:
            return dict(self._received)

    def _keep(self, event: Event) -> int:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        if not is_uid(uid):
            return 0xC000
        (self._folder / f"{uid}.dcm").write_bytes(event.encoded_dataset())
        with self._lock:
            self._received[uid] = time.time()
        return 0x0000
