"""C-FIND: what this node holds, matched in the database.

Runs in the thread of its association, on connections that only read; receiving never waits for it.

References
----------
PS3.4 C.4.1 C-FIND SOP Classes, table C.4-1 for the statuses.
"""

import logging
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.events import Event
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.faults import explain
from db.repository.finding import Found, Question, find, representative
from db.repository.matching import UnusableKeyError
from db.repository.query_keys import COMPUTED, MATCHED, OF_RESULTS, Level
from db.session import Database
from handlers.answer import answer, is_fully_supported
from handlers.head import read_head
from handlers.identifier import Identifier, InvalidIdentifierError

logger = logging.getLogger(__name__)

Reading = Callable[[], Database | None]
"""Returns the database to read, None while there is none."""


class QueryStatus(IntEnum):
    """Service status of a C-FIND response."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    """There is no database at the moment, or it is too busy; the peer may try again."""
    IDENTIFIER_DOES_NOT_MATCH = 0xA900
    """Its level is not one of the model, or a key has a value that it cannot have."""
    UNABLE_TO_PROCESS = 0xC001
    CANCELLED = 0xFE00
    PENDING = 0xFF00
    PENDING_WITH_WARNING = 0xFF01
    """Some optional keys are not matched, or not answered."""


Answers = Iterator[tuple[Dataset | int, Dataset | None]]


class QueryHandler:
    """Answers C-FIND requests.

    Parameters
    ----------
    reading : callable
        Returns the database.
    root : Path
        The storage folder.
    ae_title : str
        Ours, by which peers retrieve.
    """

    def __init__(self, reading: Reading, *, root: Path, ae_title: str) -> None:
        self._reading = reading
        self._root = root
        self._ae_title = ae_title

    def __call__(self, event: Event) -> Answers:
        """Yield a status and the identifier of each match; never raises."""
        started, count = time.monotonic(), 0
        peer = event.assoc.requestor.ae_title
        try:
            identifier = _identifier(event)
            for reply in self._answers(identifier):
                if event.is_cancelled:
                    yield QueryStatus.CANCELLED, None
                    return
                if not is_open(event.assoc):
                    return
                count += 1
                yield reply
            logger.info(
                "%s asked for a %s: %d found in %.2f s",
                peer,
                identifier.level.name.lower(),
                count,
                time.monotonic() - started,
                extra={"action": "query"},
            )
        except (InvalidIdentifierError, UnusableKeyError) as error:
            logger.warning("refused a query of %s: %s", peer, error, extra={"action": "query"})
            yield failure(QueryStatus.IDENTIFIER_DOES_NOT_MATCH, error), None
        except NoDatabaseError:
            yield QueryStatus.OUT_OF_RESOURCES, None
        except Exception as error:  # noqa: BLE001 - the DIMSE edge: the peer must get a status, whatever failed
            yield logged_failure(error, "a query failed"), None

    def _answers(self, identifier: Identifier) -> Answers:
        database = self._reading()
        if database is None:
            raise NoDatabaseError
        status = QueryStatus.PENDING if is_fully_supported(identifier) else QueryStatus.PENDING_WITH_WARNING
        for found in find(database, question(identifier)):
            head = cache(partial(self._read_head, database, found))  # read once at most
            if _has_instance_number(found, identifier, head):
                yield status, answer(found, identifier, ae_title=self._ae_title, head=head)

    def _read_head(self, database: Database, found: Found) -> Dataset:
        with database.read() as session:
            path = representative(session, found)
        try:
            return read_head(self._root / path) if path else Dataset()
        except Exception as error:  # noqa: BLE001 - pydicom raises anything; the rest of the answer is known
            logger.warning("%s cannot be read (%s)", path, type(error).__name__, extra={"action": "query"})
            return Dataset()


class NoDatabaseError(Exception):
    """The database is not open, or is being made anew."""


def logged_failure(error: Exception, what: str) -> QueryStatus:
    """Log what failed, with a trace where it is no fault of the machine; return whether the peer may try again."""
    if (why := explain(error)) is None and not isinstance(error, PoolTimeoutError):
        logger.error("%s", what, exc_info=error, extra={"action": "query"})
        return QueryStatus.UNABLE_TO_PROCESS
    logger.error("%s: %s", what, why or "more queries than can be answered at once", extra={"action": "query"})
    return QueryStatus.OUT_OF_RESOURCES


def failure(status: int, error: Exception) -> Dataset:
    """Return a status with what is wrong, as Error Comment (0000,0902)."""
    reply = Dataset()
    reply.Status = int(status)
    reply.ErrorComment = str(error)[:64]
    return reply


def _identifier(event: Event) -> Identifier:
    try:
        dataset = event.identifier
    except Exception as error:  # pydicom raises anything for hostile bytes
        raise InvalidIdentifierError("the identifier cannot be decoded") from error
    request: Any = event.request
    return Identifier.read(dataset, str(request.AffectedSOPClassUID))


def question(identifier: Identifier) -> Question:
    """Return what an identifier asks of the database."""
    criteria, result_criteria = [], []
    for keyword, values in identifier.keys.items():
        levels = [level for level in Level if level <= identifier.level and keyword in MATCHED[level]]
        matches = MATCHED[levels[0]][keyword] if levels else None
        if not values or matches is None:
            continue
        criteria.append(matches(values))
        if keyword in OF_RESULTS or keyword not in MATCHED[Level.IMAGE]:
            result_criteria.append(OF_RESULTS.get(keyword, matches)(values))
    return Question(
        level=identifier.level,
        criteria=tuple(criteria),
        result_criteria=tuple(result_criteria),
        computed=frozenset(k for k in identifier.keys if COMPUTED.get(k, Level.IMAGE + 1) <= identifier.level),
    )


def _has_instance_number(found: Found, identifier: Identifier, head: Callable[[], Dataset]) -> bool:
    """Compare the Instance Number of a result, which the database does not know."""
    wanted = identifier.keys.get("InstanceNumber")
    if not wanted or "InstanceNumber" in found.values:
        return True
    return str(head().get("InstanceNumber", "")) in {str(int(value)) for value in wanted}


def is_open(association: Association) -> bool:
    """Say whether a peer still waits for answers, while pynetdicom itself does not look."""
    acse = association.acse
    return association.dul.is_alive() and not acse.is_aborted() and not acse.is_release_requested()
