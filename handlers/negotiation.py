"""What an association's requestor asks for beyond presentation contexts, and what we answer.

References
----------
PS3.7 D.3.3.3 asynchronous operations window, D.3.3.5 SOP class extended negotiation; PS3.4 B.3.1 (storage), C.5
(query and retrieval).
"""

from collections.abc import Mapping
from typing import Any

from pydicom.uid import UID
from pynetdicom.events import Event
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from handlers.identifier import SOP_CLASSES

_LEVEL_2_FULL, _SIGNATURES_PRESERVED, _NO_COERCION = 2, 3, 0
_STORAGE_INFORMATION = bytes([_LEVEL_2_FULL, 0, _SIGNATURES_PRESERVED, 0, _NO_COERCION, 0])
"""Every attribute is kept, private ones too; what is sent comes back bit by bit (PS3.4 B.3.1)."""
_RELATIONAL = bytes([1, 0, 0, 0, 0])
"""Unique keys of the levels above may be left out; dates and times are matched apart, names as they are written, time
zones as they are, and enhanced images not converted (PS3.4 table C.5-1; of retrievals the first byte)."""
_STORED = {StorageServiceClass, ServiceClass}
"""The latter stands for what nobody knows: it is stored too."""


def answer_asynchronous_operations(_event: Event) -> tuple[int, int]:
    """Agree on one operation at a time in each direction: requests are answered in the order in which they come."""
    return 1, 1


def answer_extended(event: Event) -> Mapping[UID, bytes]:
    """Say of every storage SOP class asked about, private and unknown ones too, how it is stored; and how we find."""
    request: Any = event
    asked: Mapping[UID, bytes] = request.app_info
    stored = {uid: _STORAGE_INFORMATION for uid in asked if uid_to_service_class(uid) in _STORED}
    found = {uid: _RELATIONAL[: len(wanted)] for uid, wanted in asked.items() if uid in SOP_CLASSES}
    return stored | found
