"""Threads that do one thing at a time for each name, so that no name waits for another; and end when told."""

import logging
import threading
import time
from collections.abc import Callable, Hashable

logger = logging.getLogger(__name__)


class Rounds:
    """Rounds of work, at most one at a time for each name, however many names there are.

    The threads are daemons: one that is stuck in a name look-up cannot keep the process alive.

    Parameters
    ----------
    on_done : callable
        Called after each round, when its name is free again; must return at once.
    """

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._on_done = on_done
        self._lock = threading.Lock()
        self._running: dict[Hashable, threading.Thread] = {}
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether rounds are to end."""
        return self._stopping.is_set()

    def busy(self, name: Hashable) -> bool:
        """Say whether a round of that name is running."""
        with self._lock:
            return name in self._running

    def start(self, name: Hashable, run: Callable[[], None]) -> None:
        """Run a round, unless one of that name is running or all are to end."""
        with self._lock:
            if name in self._running or self.stopping:
                return
            thread = threading.Thread(target=self._run, args=(name, run), name=f"round {name}", daemon=True)
            self._running[name] = thread
            thread.start()

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until rounds are to end; say whether they are."""
        return self._stopping.wait(seconds)

    def stop(self, *, grace_s: float, cut: Callable[[], None], limit_s: float) -> None:
        """End all rounds: let them finish what they do, then cut their lines.

        Parameters
        ----------
        grace_s : float
            For what is under way.
        cut : callable
            Wakes whoever waits for a peer.
        limit_s : float
            After the cut; what runs even then is left to the end of the process.
        """
        self._stopping.set()
        if not self._join(grace_s):
            cut()
            if not self._join(limit_s):
                logger.warning("%d rounds did not end in time", len(self._running), extra={"action": "stop"})

    def _join(self, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        with self._lock:
            threads = list(self._running.values())
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _run(self, name: Hashable, run: Callable[[], None]) -> None:
        try:
            run()
        finally:
            with self._lock:
                del self._running[name]
            self._on_done()
