"""C-STORE: the bytes as they come, onto stable storage, and only then success.

The data set is neither decoded nor changed, and never held: it goes into its file as it arrives. What turns out not to
fit is moved into quarantine, what breaks off is removed.

References
----------
PS3.4 B Storage Service Class.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from db.faults import Trouble
from db.files import Storage, is_uid, new_spool_name
from db.incoming import Incoming, IncomingFile
from handlers.association import Associations
from handlers.identity import Identity, UnreadableDataSetError, WrongIdentityError, scan
from handlers.quarantine import Quarantine
from handlers.receipt import Receipt, Seal, sealed
from handlers.space import DiskSpace
from handlers.status import StoreStatus

logger = logging.getLogger(__name__)

_OVER_AFTER_S = 5.0
_REFUSALS = {
    UnreadableDataSetError: (StoreStatus.CANNOT_UNDERSTAND, "Send the instance again as it was made, whole."),
    WrongIdentityError: (
        StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
        "Correct it where the instance was made or changed, and send it again.",
    ),
}


class NoRoomError(Exception):
    """The disk has no room for what comes; said and counted where that was found out."""


class StoreHandler:
    """Answers C-STORE requests.

    Parameters
    ----------
    storage : Storage
        Whose spool takes what is accepted.
    incoming : Incoming
        Of that storage.
    quarantine : Quarantine
        Takes what is refused.
    space : DiskSpace
        Says whether there is room.
    associations : Associations
        Told of every instance.
    on_spooled : callable
        Called after an instance is on stable storage; must return at once.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        incoming: Incoming,
        quarantine: Quarantine,
        space: DiskSpace,
        associations: Associations,
        on_spooled: Callable[[], None] = lambda: None,
    ) -> None:
        self._spool = storage.spool
        self._incoming = incoming
        self._quarantine = quarantine
        self._space = space
        self._trouble = Trouble(
            "what is received cannot be kept and is answered with 0xA700", logger, over_after_s=_OVER_AFTER_S
        )
        self._associations = associations
        self._on_spooled = on_spooled

    def begin(self, receipt: Receipt) -> "Reception":
        """Return what takes the data set of a C-STORE request; never raises."""
        return Reception(receipt, self)

    def open(self, receipt: Receipt) -> "Arrival":
        """Begin a file; raises `OSError` if there can be none."""
        header, spool_name = receipt.file_header_or_nothing(), new_spool_name()
        file = self._incoming.take()
        try:
            file.leave_room(len(header))
        except BaseException:
            file.drop()
            raise
        return Arrival(receipt=receipt, spool_name=spool_name, header=header, file=file)

    def write(self, arrival: "Arrival", chunk: memoryview) -> None:
        """Append what came.

        Raises
        ------
        NoRoomError
            If less would be left on the disk than is to be left.
        OSError
            If it cannot be written.
        """
        self._associations.heard(arrival.receipt.caller.association_id)
        if not self._space.take(len(chunk)):
            raise NoRoomError
        arrival.file.write(chunk)

    def keep(self, arrival: "Arrival") -> StoreStatus:
        """Make a whole data set durable, or refuse it; return the answer."""
        try:
            identity = _checked_identity(arrival)
        except (UnreadableDataSetError, WrongIdentityError) as error:
            return self._refuse(arrival, error)
        arrival.seal(arrival.spool_name)
        arrival.file.keep(self._spool / arrival.spool_name)
        self._trouble.end()
        self._associations.received(arrival.receipt.caller.association_id, identity.study_instance_uid)
        self._on_spooled()
        return StoreStatus.SUCCESS

    def fail(self, receipt: Receipt, error: Exception) -> StoreStatus:
        """Tell of an instance that could not be kept; return the answer."""
        association = receipt.caller.association_id
        if not isinstance(error, NoRoomError) and not self._trouble.met(error):
            logger.error("C-STORE failed", exc_info=error, extra={"action": "store", "association": association})
        self._associations.refused(association)
        return StoreStatus.OUT_OF_RESOURCES

    def _refuse(self, arrival: "Arrival", error: UnreadableDataSetError | WrongIdentityError) -> StoreStatus:
        status, remedy = _REFUSALS[type(error)]
        receipt = arrival.receipt
        self._associations.refused(receipt.caller.association_id)
        arrival.seal("")
        kept = self._quarantine.keep(arrival.file, reason=f"{error}. {remedy}")
        logger.warning(
            "refused an instance from %s with 0x%04X: %s; %s",
            receipt.caller.calling_ae_title,
            status,
            error,
            f"kept as quarantine/{kept.name}" if kept else "not kept, the quarantine is full",
            extra={"action": "store", "association": receipt.caller.association_id},
        )
        return status


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A data set that is being received, and its file.

    Attributes
    ----------
    spool_name : str
        Its name in the spool.
    header : bytes
        Of its file; empty where its UIDs are unfit for one.
    """

    receipt: Receipt
    spool_name: str
    header: bytes
    file: IncomingFile

    def seal(self, spool_name: str) -> None:
        """Write the header, with what tells that the file is whole."""
        seal = Seal(own_name=self.file.name, spool_name=spool_name, size=self.file.size, crc32=self.file.crc32)
        self.file.seal(sealed(self.header, seal))


class Reception:
    """One data set on its way into the spool; nothing of it raises, whatever fails.

    Parameters
    ----------
    receipt : Receipt
        Of the request.
    handler : StoreHandler
        Whose storage takes it.
    """

    def __init__(self, receipt: Receipt, handler: StoreHandler) -> None:
        self._receipt = receipt
        self._handler = handler
        self._arrival: Arrival | None = None
        self._failure: Exception | None = None
        try:
            self._arrival = handler.open(receipt)
        except Exception as error:  # noqa: BLE001 - the DIMSE edge: the peer must get a status, whatever failed
            self._failure = error

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes; once they could not be kept, the rest is passed over."""
        if self._arrival is None:
            return
        try:
            self._handler.write(self._arrival, chunk)
        except Exception as error:  # noqa: BLE001 - the DIMSE edge, see above
            self._failure = error
            self.abandon()

    def finish(self) -> StoreStatus:
        """Return the answer for the whole data set."""
        try:
            if self._arrival is None:
                return self._handler.fail(self._receipt, self._failure or NoRoomError())
            return self._handler.keep(self._arrival)
        except Exception as error:  # noqa: BLE001 - the DIMSE edge, see above
            return self._handler.fail(self._receipt, error)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what came, unless it was kept; nothing of it was acknowledged."""
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            with contextlib.suppress(OSError):  # what becomes of a file that cannot be removed, the next start decides
                arrival.file.drop()


def _checked_identity(arrival: Arrival) -> Identity:
    receipt = arrival.receipt
    identity = scan(arrival.file.read, receipt.transfer_syntax_uid)
    if identity.sop_class_uid and identity.sop_class_uid != receipt.sop_class_uid:
        raise WrongIdentityError("SOPClassUID is not the one of the C-STORE request")
    if identity.sop_instance_uid and identity.sop_instance_uid != receipt.sop_instance_uid:
        raise WrongIdentityError("SOPInstanceUID is not the one of the C-STORE request")
    # Where the scan ended before the data set's own UIDs, these are all that there is to name it by.
    for keyword, value in (("SOPClassUID", receipt.sop_class_uid), ("SOPInstanceUID", receipt.sop_instance_uid)):
        if not is_uid(value):
            raise WrongIdentityError(f"{keyword} of the C-STORE request is not a UID")
    return identity
