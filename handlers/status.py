"""The C-STORE statuses this node answers with.

References
----------
PS3.4 B.2.3 Statuses of the Storage Service Class; PS3.7 C.
"""

from enum import IntEnum


class StoreStatus(IntEnum):
    """Service status of a C-STORE response."""

    SUCCESS = 0x0000
    """The bytes are on stable storage and will be processed."""
    OUT_OF_RESOURCES = 0xA700
    """They could not be written; the peer may try again later."""
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    """A UID that every composite instance has is absent, malformed, or not the command's."""
    CANNOT_UNDERSTAND = 0xC000
    """The bytes are no data set in the transfer syntax agreed."""
