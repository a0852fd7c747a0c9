"""Sub-operations of a retrieval: how objects go out, how each ended, and what the whole comes to.

References
----------
PS3.4 C.4.2 C-MOVE SOP Classes, C.4.3 C-GET SOP Classes, tables C.4-2 and C.4-3 for the statuses.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path

from pynetdicom.association import Association


class RetrieveStatus(IntEnum):
    """Service status of a C-MOVE or C-GET response."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES_TO_MATCH = 0xA701
    """There is no database at the moment, or more objects than can be counted."""
    OUT_OF_RESOURCES_TO_SEND = 0xA702
    """Nothing could be sent."""
    DESTINATION_UNKNOWN = 0xA801
    """No destination of the configuration has this AE title."""
    IDENTIFIER_DOES_NOT_MATCH = 0xA900
    WARNING = 0xB000
    """Some objects were sent, some not, or with warnings."""
    UNABLE_TO_PROCESS = 0xC001
    CANCELLED = 0xFE00
    PENDING = 0xFF00


class Sent(Enum):
    """How the sub-operation of one object ended."""

    COMPLETED = "completed"
    WARNED = "warned"
    FAILED = "failed"


class UnreachableError(Exception):
    """The destination gives no association; the message says why."""


class UnknownDestinationError(Exception):
    """No destination has the AE title."""


Store = Callable[[Path], Sent]


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What a C-MOVE asks for, as its sub-operations name it."""

    destination: str
    """AE title."""
    originator: str
    """AE title of the peer."""
    message_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """How objects go out.

    Attributes
    ----------
    to_destination : callable
        Opens an association with a destination for files; raises `UnknownDestinationError`, `UnreachableError`.
    knows : callable
        Says whether an AE title is one of a destination.
    back : callable
        Sends over the association of a C-GET itself.
    """

    to_destination: Callable[[Move, Sequence[Path]], AbstractContextManager[Store]]
    knows: Callable[[str], bool]
    back: Callable[[Association, int], Store]


@dataclass(slots=True)
class Progress:
    """The sub-operations of one request."""

    remaining: int
    completed: int = 0
    warned: int = 0
    failed: list[str] = field(default_factory=list)
    """SOP Instance UIDs."""

    def add(self, sop_instance_uid: str, sent: Sent) -> None:
        """Count one."""
        self.remaining -= 1
        self.completed += sent is Sent.COMPLETED
        self.warned += sent is Sent.WARNED
        if sent is Sent.FAILED:
            self.failed.append(sop_instance_uid)

    @property
    def status(self) -> RetrieveStatus:
        """What the whole comes to."""
        if not self.failed and not self.warned:
            return RetrieveStatus.SUCCESS
        none_sent = not self.completed and not self.warned
        return RetrieveStatus.OUT_OF_RESOURCES_TO_SEND if none_sent else RetrieveStatus.WARNING
