"""Who was not let in: counted by reason, and logged so that a flood of them fills no disk.

Neither names a user nor holds what a peer sent beyond its AE titles and address.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

logger = logging.getLogger(__name__)

_SAY_AGAIN_AFTER_S = 60.0
_MOST_SAID = 1000
"""Different refusals that are logged within that time; what goes beyond is counted only."""


class Reason(StrEnum):
    """Why a connection or an association was refused."""

    ADDRESS = "address"
    """No network of dicom.calling_networks holds it."""
    CONNECTIONS = "connections"
    """It waited longest of too many connections without an association."""
    SILENT = "silent"
    """No A-ASSOCIATE-RQ came in time (ARTIM, PS3.8 9.1.5)."""
    PROTOCOL = "protocol"
    """What came was no A-ASSOCIATE-RQ."""
    TLS = "tls"
    """The TLS handshake failed."""
    ASSOCIATIONS = "associations"
    """As many were open as dicom.maximum_associations allows."""
    AE_TITLE = "ae-title"
    """It is not in dicom.calling_ae_titles, or not for that address."""
    CERTIFICATE = "certificate"
    """Its certificate does not let it bear its AE title."""
    USER = "user"
    """It named no user, or one that may not (PS3.7 D.3.3.7)."""
    OTHER = "other"
    """pynetdicom rejected it."""


class Refusals:
    """Counts refusals and tells of them.

    Parameters
    ----------
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Reason] = Counter()
        self._said: dict[str, tuple[float, int]] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were since the start, by reason."""
        with self._lock:
            return {reason.value: number for reason, number in sorted(self._counts.items())}

    def add(self, reason: Reason, message: str) -> None:
        """Count a refusal, and log it unless the same was logged less than a minute ago."""
        with self._lock:
            self._counts[reason] += 1
            now = self._clock()
            said_at, unsaid = self._said.pop(message, (float("-inf"), 0))
            self._forget_before(now - _SAY_AGAIN_AFTER_S)
            is_news = now - said_at >= _SAY_AGAIN_AFTER_S and len(self._said) < _MOST_SAID
            self._remember(message, (now, 0) if is_news else (said_at, unsaid + 1))
        if is_news:
            more = f" ({unsaid} more since the last such line)" if unsaid else ""
            logger.warning("%s%s", message, more, extra={"action": "refuse"})

    def _remember(self, message: str, what: tuple[float, int]) -> None:
        if len(self._said) < _MOST_SAID:
            self._said[message] = what

    def _forget_before(self, earliest: float) -> None:
        """Forget what may be said again and has nothing to add; the oldest are first where time alone ordered them."""
        if len(self._said) >= _MOST_SAID:
            self._said = {message: what for message, what in self._said.items() if what[0] > earliest}
