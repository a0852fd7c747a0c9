"""What was acknowledged, and what the PACS got back: kept by the harness, out of reach of any kill."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import Comprehensive3DSRStorage
from pynetdicom.events import Event

from node.demo.pacs import EmbeddedPacs

_BEFORE_FILE_META = 128 + 4 + 12


class Ledger:
    """The answers 0x0000 that senders got."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acknowledged: dict[str, Path] = {}
        self._answers = 0

    def acknowledge(self, path: Path) -> None:
        """Record an answer to a file named by its SOP Instance UID; there may be several."""
        with self._lock:
            self._acknowledged[path.stem] = path
            self._answers += 1

    @property
    def answers(self) -> int:
        return self._answers

    @property
    def acknowledged(self) -> dict[str, Path]:
        """The file of each acknowledged SOP Instance UID."""
        with self._lock:
            return dict(self._acknowledged)

    def unacknowledged(self, paths: Iterable[Path]) -> list[Path]:
        with self._lock:
            return [path for path in paths if path.stem not in self._acknowledged]


class RecordingPacs(EmbeddedPacs):
    """Outlives the node, and remembers the bytes of every C-STORE."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.receipts: dict[str, list[str]] = defaultdict(list)
        """The SHA-256 of the data set of each receipt, by SOP Instance UID."""
        self._reports: set[str] = set()

    def finished(self) -> int:
        """How many jobs' reports came."""
        return len(self._reports)

    def _keep(self, event: Event) -> int:
        request: Any = event.request
        sop_instance_uid = str(request.AffectedSOPInstanceUID)
        digest = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
        self.receipts[sop_instance_uid].append(digest)
        if request.AffectedSOPClassUID == Comprehensive3DSRStorage:
            self._reports.add(sop_instance_uid)
        return super()._keep(event)


def dataset_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's data set, from the first byte behind its file meta information (PS3.10 7.1)."""
    meta = pydicom.filereader.read_file_meta_info(path)
    return hashlib.sha256(path.read_bytes()[_BEFORE_FILE_META + meta.FileMetaInformationGroupLength :]).hexdigest()
