"""C-STORE SCU: files to a peer over one association, with the status of each.

They go as they are; to a peer that does not take them so, what is deflated goes inflated, and what is not compressed in
the other uncompressed transfer syntax.

References
----------
PS3.4 B.2.3 Storage statuses; PS3.7 9.3.1 C-STORE, C Status codes.
"""

import itertools
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from dicom_out.association import Lines, NoAssociationError, Peer, associate
from dicom_out.part10 import inflate, is_deflated, other_way, recode

__all__ = ["Peer", "SendOutcome", "SendState", "Sender", "connect", "echo", "send"]

_VERIFICATION = "1.2.840.10008.1.1"
_DUPLICATE_SOP_INSTANCE = 0x0111
_SLOWEST_BYTES_PER_S = 100_000
_MESSAGE_IDS = 65535
# The file's own bytes are sent, not a data set decoded and encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True


class SendState(StrEnum):
    """How sending one file ended."""

    SENT = "sent"
    WARNED = "warned"
    """Stored, with a warning status (0xBxxx, 0x0001, 0x0107, 0x0116), or stored before (0x0111)."""
    UNSUPPORTED = "unsupported"
    """The peer rejected every presentation context that could carry the file."""
    REFUSED = "refused"
    """A failure status."""
    UNREACHABLE = "unreachable"
    """No association, or it ended before an answer came."""
    NOT_SENT = "not-sent"
    """The association ended at an earlier file; this one was not tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Originator:
    """Who asked for a sub-operation of a retrieval (PS3.7 9.1.1.1.6)."""

    message_id: int
    """Of the request; sub-operations have others."""
    ae_title: str | None = None
    """Of a C-MOVE's peer, which the destination is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendOutcome:
    """What became of one file."""

    path: Path
    state: SendState
    status: int | None = None
    message: str | None = None


class Sender:
    """An association over which files are stored, one after the other.

    Parameters
    ----------
    association : Association
        As `associate` returns it.
    peer : Peer
        At its other end.
    contexts : sequence of PresentationContext or None
        On which may be sent; None takes all that were accepted.
    originator : Originator or None
        Whose sub-operations these are.
    """

    def __init__(
        self,
        association: Association,
        peer: Peer,
        *,
        contexts: Sequence[PresentationContext] | None = None,
        originator: Originator | None = None,
    ) -> None:
        self._association = association
        self._peer = peer
        accepted = association.accepted_contexts if contexts is None else contexts
        self._accepted = {(str(cx.abstract_syntax), str(cx.transfer_syntax[0])) for cx in accepted}
        self._originator = originator
        self._message_ids = (n % _MESSAGE_IDS + 1 for n in itertools.count())

    def store(self, path: Path) -> SendOutcome:
        """Send one file and wait for the answer; never raises for what the peer or the network does."""
        sop_class, transfer_syntax = kind = _kind(path)
        as_it_is = kind in self._accepted
        change = inflate if not self._accepted.isdisjoint(_ways(*kind)) else self._recode(*kind)
        if change is None:
            return SendOutcome(
                path=path,
                state=SendState.UNSUPPORTED,
                message=f"{self._peer.ae_title} does not take {UID(sop_class).name} as {UID(transfer_syntax).name}",
            )
        if not self._association.is_established:
            return SendOutcome(path=path, state=SendState.NOT_SENT, message="the association ended before")
        try:
            if as_it_is:
                return self._store(path, path)
            # Without a name, so that nothing is left of it whatever ends us; sent by the name that the kernel gives it.
            with tempfile.TemporaryFile(dir=path.parent) as changed:
                change(path, changed)
                changed.flush()
                return self._store(path, Path(f"/proc/self/fd/{changed.fileno()}"))
        except zlib.error as error:
            return SendOutcome(
                path=path, state=SendState.UNSUPPORTED, message=f"its deflated data are damaged: {error}"
            )
        except (RuntimeError, OSError, ValueError) as error:
            return SendOutcome(path=path, state=SendState.UNREACHABLE, message=str(error))

    def _recode(self, sop_class: str, transfer_syntax: str) -> Callable[[Path, BinaryIO], None] | None:
        """Return what makes of an uncompressed object the one that is taken; None if there is nothing."""
        return recode if (sop_class, other_way(transfer_syntax)) in self._accepted else None

    def _store(self, path: Path, sent: Path) -> SendOutcome:
        # pynetdicom's limit for the answer begins before the last bytes have left; a slow line needs more.
        self._association.dimse_timeout = self._peer.timeout_s + sent.stat().st_size / _SLOWEST_BYTES_PER_S
        originator = self._originator
        message_id = next(self._message_ids)
        if originator is not None and message_id == originator.message_id:
            message_id = next(self._message_ids)
        moves = originator is not None and originator.ae_title is not None
        status = self._association.send_c_store(
            sent,
            msg_id=message_id,
            originator_aet=originator.ae_title if originator and moves else None,
            originator_id=originator.message_id if originator and moves else None,
        )
        if "Status" not in status:
            return SendOutcome(
                path=path,
                state=SendState.UNREACHABLE,
                message=f"{self._peer} ended the association, or said nothing, before it answered for this object",
            )
        comment = str(status.get("ErrorComment", "")) or None
        return _outcome(path, int(status.Status), comment)


@contextmanager
def connect(
    paths: Sequence[Path], peer: Peer, *, lines: Lines | None = None, originator: Originator | None = None
) -> Iterator[Sender]:
    """Open an association that can carry these files.

    Parameters
    ----------
    paths : sequence of Path
        DICOM files of at most 128 different pairs of SOP class and transfer syntax; deflated ones count twice.
    peer : Peer
        Takes them.
    lines : Lines or None
        Through which the connection can be cut.
    originator : Originator or None
        Whose sub-operations these are.

    Raises
    ------
    NoAssociationError
        If the peer gives none.
    """
    kinds = sorted({way for path in paths for way in _ways(*_kind(path))})
    with associate(peer, [build_context(*kind) for kind in kinds], lines=lines) as association:
        yield Sender(association, peer, originator=originator)


def send(paths: Sequence[Path], peer: Peer) -> Iterator[SendOutcome]:
    """Send files in order over one association.

    Parameters
    ----------
    paths : sequence of Path
        DICOM files, as for `connect`.

    Yields
    ------
    SendOutcome
        One for each file, as soon as it is known; never raises for what the peer or the network does.
    """
    if not paths:
        return
    try:
        with connect(paths, peer) as sender:
            for path in paths:
                yield sender.store(path)
    except NoAssociationError as error:
        for path in paths:
            yield SendOutcome(path=path, state=SendState.UNREACHABLE, message=str(error))


def echo(peer: Peer) -> bool:
    """Say whether a peer answers C-ECHO (PS3.4 A)."""
    try:
        with associate(peer, [build_context(_VERIFICATION, ImplicitVRLittleEndian)]) as association:
            return association.is_established and association.send_c_echo().get("Status") == 0x0000
    except NoAssociationError:
        return False


def _kind(path: Path) -> tuple[str, str]:
    meta = pydicom.filereader.read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _ways(sop_class: str, transfer_syntax: str) -> set[tuple[str, str]]:
    """Return how an object of a SOP class and transfer syntax can go."""
    inflated = {(sop_class, str(ExplicitVRLittleEndian))} if is_deflated(transfer_syntax) else set()
    return {(sop_class, transfer_syntax)} | inflated


def _outcome(path: Path, status: int, comment: str | None) -> SendOutcome:
    if status == 0x0000:
        return SendOutcome(path=path, state=SendState.SENT, status=status)
    if status == _DUPLICATE_SOP_INSTANCE:
        message = comment or "it holds an object of this UID already"
        return SendOutcome(path=path, state=SendState.WARNED, status=status, message=message)
    if status >> 12 == 0xB or status in {0x0001, 0x0107, 0x0116}:
        return SendOutcome(path=path, state=SendState.WARNED, status=status, message=comment)
    return SendOutcome(path=path, state=SendState.REFUSED, status=status, message=comment)
