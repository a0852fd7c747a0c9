"""Whether indexing waits for a lull in what is received, from which it would take the processor.

It takes twice as much of it as receiving does.
"""

import time
from collections.abc import Callable

from handlers.association import Associations

_RECEIVING_S = 0.2
"""So recently something came."""
_LONGEST_S = 10.0
"""For so long the spool may grow."""


class Lull:
    """Waits for a lull.

    Parameters
    ----------
    associations : Associations
        Know when something came last.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(self, associations: Associations, clock: Callable[[], float] = time.monotonic) -> None:
        self._associations = associations
        self._clock = clock
        self._waits_since: float | None = None

    def is_awaited(self) -> bool:
        """Say whether to go on waiting; for ten seconds at most since all was indexed, however many lulls came."""
        if self._waits_since is None:
            self._waits_since = self._clock()
        waited_s = self._clock() - self._waits_since
        return waited_s < _LONGEST_S and self._associations.receiving(within_s=_RECEIVING_S)

    def all_is_indexed(self) -> None:
        """Wait anew from the next look on."""
        self._waits_since = None
