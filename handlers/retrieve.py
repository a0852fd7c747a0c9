"""C-MOVE and C-GET: what this node holds, sent as it is stored.

pynetdicom's own service wants every object as a data set in memory. Here the messages of these two services are served
from files instead, in the thread of their association; pynetdicom keeps negotiation and transport.

References
----------
PS3.4 C.4.2 C-MOVE SOP Classes, C.4.3 C-GET SOP Classes, tables C.4-2 and C.4-3 for the statuses.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.dsutils import decode, encode
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext

from db.repository import available
from db.repository.available import StoredObject
from handlers.identifier import GET, MOVE, Identifier, InvalidIdentifierError
from handlers.query import QueryStatus, Reading, is_open, logged_failure
from handlers.sub_operations import (
    Move,
    Progress,
    RetrieveStatus,
    Sent,
    Store,
    UnknownDestinationError,
    UnreachableError,
    Ways,
)

logger = logging.getLogger(__name__)

_MOST_OBJECTS = 65535
"""Numbers of sub-operations have two bytes."""
_MOST_FAILED = 1000
"""UIDs of failed ones that are listed: more do not fit into an element of explicit VR."""


class RetrieveHandler:
    """Serves C-MOVE and C-GET requests.

    Parameters
    ----------
    reading : callable
        Returns the database.
    root : Path
        The storage folder.
    ways : Ways
        How objects go out.
    """

    def __init__(self, reading: Reading, *, root: Path, ways: Ways) -> None:
        self._reading = reading
        self._root = root
        self._ways = ways

    def accepted(self, event: Event) -> None:
        """Have an association's retrievals served here."""
        association = event.assoc
        serve = association._serve_request  # noqa: SLF001 - there is no other way to serve a message without its data set

        def serve_request(message: Any, context_id: int) -> None:  # noqa: ANN401 - any DIMSE primitive
            context = association._accepted_cx.get(context_id)  # noqa: SLF001 - as pynetdicom itself looks it up
            if not isinstance(message, C_MOVE | C_GET) or not message.is_valid_request or context is None:
                serve(message, context_id)
                return
            association.dimse.cancel_req = {}
            association._is_paused = True  # noqa: SLF001 - lets this thread send requests, as in a service of pynetdicom's
            try:
                _Retrieval(association, message, context, self).serve()
            finally:
                association._is_paused = False  # noqa: SLF001 - see above
                association.dimse.cancel_req = {}

        setattr(association, "_serve_request", serve_request)  # noqa: B010 - mypy lets no method be assigned

    def objects(self, identifier: Identifier) -> list[StoredObject] | None:
        """Return what is wanted; None if that cannot be told."""
        database = self._reading()
        if database is None:
            return None
        with database.read() as session:
            found = available.objects(session, identifier.wanted(), limit=_MOST_OBJECTS + 1)
        return found if len(found) <= _MOST_OBJECTS else None

    @property
    def root(self) -> Path:
        """The storage folder."""
        return self._root

    @property
    def ways(self) -> Ways:
        """How objects go out."""
        return self._ways


class _Retrieval:
    """One request on its way."""

    def __init__(
        self,
        association: Association,
        request: Any,  # noqa: ANN401 - C_MOVE or C_GET
        context: PresentationContext,
        handler: RetrieveHandler,
    ) -> None:
        self._association = association
        self._request = request
        self._context = context
        self._handler = handler
        self._syntax = context.transfer_syntax[0]
        self._progress = Progress(remaining=0)

    def serve(self) -> None:
        """Serve it; never raises."""
        try:
            self._answer(self._status())
        except InvalidIdentifierError as error:
            logger.warning("refused a retrieval of %s: %s", self._peer, error, extra={"action": "retrieve"})
            self._answer(RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH, comment=str(error))
        except UnknownDestinationError as error:
            logger.warning("refused a retrieval of %s: %s", self._peer, error, extra={"action": "retrieve"})
            self._answer(RetrieveStatus.DESTINATION_UNKNOWN, comment=str(error))
        except Exception as error:  # noqa: BLE001 - the DIMSE edge: the peer must get a status, whatever failed
            status = logged_failure(error, "a retrieval failed")
            again = status is QueryStatus.OUT_OF_RESOURCES
            self._answer(RetrieveStatus.OUT_OF_RESOURCES_TO_MATCH if again else RetrieveStatus.UNABLE_TO_PROCESS)

    @property
    def _peer(self) -> str:
        return str(self._association.requestor.ae_title)

    @property
    def _is_move(self) -> bool:
        return isinstance(self._request, C_MOVE)

    def _status(self) -> RetrieveStatus:
        if not str(self._context.abstract_syntax).endswith(MOVE if self._is_move else GET):
            return RetrieveStatus.SOP_CLASS_NOT_SUPPORTED
        identifier = self._identifier()
        if self._is_move and not self._handler.ways.knows(self._request.MoveDestination):
            raise UnknownDestinationError("no destination has this AE title: add one")
        objects = self._handler.objects(identifier)
        if objects is None:
            return RetrieveStatus.OUT_OF_RESOURCES_TO_MATCH
        self._progress = Progress(remaining=len(objects))
        status = self._send(objects) if objects else RetrieveStatus.SUCCESS
        self._log(len(objects))
        return status

    def _identifier(self) -> Identifier:
        syntax = self._syntax
        try:
            dataset = decode(
                self._request.Identifier, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated
            )
        except Exception as error:  # pydicom raises anything for hostile bytes
            raise InvalidIdentifierError("the identifier cannot be decoded") from error
        return Identifier.read(dataset, str(self._context.abstract_syntax))

    def _send(self, objects: Sequence[StoredObject]) -> RetrieveStatus:
        there = {one.sop_instance_uid: path for one in objects if (path := self._handler.root / one.path).is_file()}
        try:
            if not there:
                raise UnreachableError("their files are missing")
            with self._way(list(there.values())) as store:
                for one in objects:
                    if self._is_cancelled():
                        return RetrieveStatus.CANCELLED
                    if not is_open(self._association):
                        break
                    file = there.get(one.sop_instance_uid)
                    self._progress.add(one.sop_instance_uid, store(file) if file else Sent.FAILED)
                    if self._progress.remaining:
                        self._answer(RetrieveStatus.PENDING)
        except UnreachableError as error:
            logger.warning(
                "%s cannot be sent what %s wants: %s",
                self._destination,
                self._peer,
                error,
                extra={"action": "retrieve"},
            )
            for one in objects:
                self._progress.add(one.sop_instance_uid, Sent.FAILED)
        return self._progress.status

    @property
    def _destination(self) -> str:
        return str(self._request.MoveDestination) if self._is_move else self._peer

    def _way(self, paths: Sequence[Path]) -> AbstractContextManager[Store]:
        if self._is_move:
            move = Move(
                destination=self._request.MoveDestination, originator=self._peer, message_id=self._request.MessageID
            )
            return self._handler.ways.to_destination(move, paths)
        return nullcontext(self._handler.ways.back(self._association, self._request.MessageID))

    def _is_cancelled(self) -> bool:
        return self._association.dimse.cancel_req.pop(self._request.MessageID, None) is not None

    def _answer(self, status: RetrieveStatus, *, comment: str = "") -> None:
        if not is_open(self._association):
            return
        progress = self._progress
        response = type(self._request)()
        response.MessageIDBeingRespondedTo = self._request.MessageID
        response.AffectedSOPClassUID = self._request.AffectedSOPClassUID
        response.Status = int(status)
        if comment:
            response.ErrorComment = comment[:64]
        if status in {RetrieveStatus.PENDING, RetrieveStatus.CANCELLED}:
            response.NumberOfRemainingSuboperations = progress.remaining
        response.NumberOfCompletedSuboperations = progress.completed
        response.NumberOfWarningSuboperations = progress.warned
        response.NumberOfFailedSuboperations = len(progress.failed)
        if progress.failed and status is not RetrieveStatus.PENDING:
            response.Identifier = BytesIO(self._failed())
        self._association.dimse.send_msg(response, self._context.context_id or 0)

    def _failed(self) -> bytes:
        dataset = Dataset()
        dataset.FailedSOPInstanceUIDList = self._progress.failed[:_MOST_FAILED]
        syntax = self._syntax
        return encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated) or b""

    def _log(self, wanted: int) -> None:
        logger.info(
            "%s retrieved %d of %d objects%s",
            self._peer,
            self._progress.completed + self._progress.warned,
            wanted,
            f" to {self._destination}" if self._is_move else "",
            extra={"action": "retrieve"},
        )
