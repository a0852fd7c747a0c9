"""C-STORE SCU: files to a peer over one association, as they are, with the status of each.

References
----------
PS3.4 B.2.3 Storage statuses; PS3.7 9.3.1 C-STORE; PS3.8 7.1 A-ASSOCIATE.
"""

import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pydicom
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.presentation import build_context

logger = logging.getLogger(__name__)

MAX_CONTEXTS = 128
_VERIFICATION = "1.2.840.10008.1.1"
_MAX_PDU = 131072
# The file's own bytes are sent, not a data set decoded and encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Whom to send to, and who we say we are."""

    host: str
    port: int
    ae_title: str
    our_ae_title: str
    timeout_s: float = 30.0


class SendState(StrEnum):
    """How sending one file ended."""

    SENT = "sent"
    WARNED = "warned"
    """Stored, with a warning status (0xBxxx, 0x0001, 0x0107, 0x0116)."""
    UNSUPPORTED = "unsupported"
    """The peer rejected every presentation context that could carry the file."""
    REFUSED = "refused"
    """A failure status."""
    UNREACHABLE = "unreachable"
    """No association, or it ended before an answer came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendOutcome:
    """What became of one file."""

    path: Path
    state: SendState
    status: int | None = None
    message: str | None = None


def send(paths: Sequence[Path], peer: Peer) -> Iterator[SendOutcome]:
    """Send files in order over one association.

    Parameters
    ----------
    paths : sequence of Path
        DICOM files of at most 128 different pairs of SOP class and transfer syntax.

    Yields
    ------
    SendOutcome
        One for each file, as soon as it is known; never raises for what the peer or the network does.
    """
    kinds = {path: _kind(path) for path in paths}
    try:
        association = _associate(peer, sorted(set(kinds.values())))
    except OSError as error:  # a name that cannot be resolved
        for path in paths:
            yield SendOutcome(path=path, state=SendState.UNREACHABLE, message=f"{peer.host}: {error.strerror}")
        return
    # pynetdicom aborts an association of which no context was accepted; that is an answer, not a fault of the line.
    nothing_accepted = bool(association.rejected_contexts) and not association.accepted_contexts
    if not association.is_established and not nothing_accepted:
        message = "rejected the association" if association.is_rejected else "cannot be reached"
        for path in paths:
            yield SendOutcome(path=path, state=SendState.UNREACHABLE, message=f"{peer.ae_title} {message}")
        return
    accepted = {(str(cx.abstract_syntax), str(cx.transfer_syntax[0])) for cx in association.accepted_contexts}
    try:
        for path in paths:
            if kinds[path] in accepted:
                yield _send_one(association, path)
            else:
                yield SendOutcome(
                    path=path,
                    state=SendState.UNSUPPORTED,
                    message=f"{peer.ae_title} does not take {UID(kinds[path][0]).name} as {UID(kinds[path][1]).name}",
                )
    finally:
        if association.is_established:
            association.release()


def echo(peer: Peer) -> bool:
    """Say whether a peer answers C-ECHO (PS3.4 A)."""
    try:
        association = _associate(peer, [(_VERIFICATION, str(ImplicitVRLittleEndian))])
    except OSError:
        return False
    if not association.is_established:
        return False
    try:
        return bool(association.send_c_echo().get("Status") == 0x0000)
    finally:
        association.release()


def _kind(path: Path) -> tuple[str, str]:
    meta = pydicom.filereader.read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _associate(peer: Peer, kinds: Sequence[tuple[str, str]]) -> Association:
    entity = AE(ae_title=peer.our_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = peer.timeout_s
    entity.maximum_pdu_size = _MAX_PDU
    contexts = [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in kinds[:MAX_CONTEXTS]]
    return entity.associate(
        peer.host,
        peer.port,
        contexts=contexts,
        ae_title=peer.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)],
    )


def _send_at_once(event: Event) -> None:
    """Turn off Nagle's algorithm, which halves the rate of small messages (RFC 896)."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _send_one(association: Association, path: Path) -> SendOutcome:
    if not association.is_established:
        return SendOutcome(path=path, state=SendState.UNREACHABLE, message="the association ended before")
    try:
        status = association.send_c_store(path)
    except (RuntimeError, OSError, ValueError) as error:
        return SendOutcome(path=path, state=SendState.UNREACHABLE, message=str(error))
    if "Status" not in status:
        return SendOutcome(path=path, state=SendState.UNREACHABLE, message="no answer came")
    code = int(status.Status)
    comment = str(status.get("ErrorComment", "")) or None
    if code == 0x0000:
        return SendOutcome(path=path, state=SendState.SENT, status=code)
    if code >> 12 == 0xB or code in {0x0001, 0x0107, 0x0116}:
        return SendOutcome(path=path, state=SendState.WARNED, status=code, message=comment)
    return SendOutcome(path=path, state=SendState.REFUSED, status=code, message=comment)
