"""Ctrl-C, of which none is lost.

Python drops a `KeyboardInterrupt` that comes while the callback of a weak reference runs, and each thread and queue
that pynetdicom makes has such callbacks: one of a hundred that came during a C-ECHO was never seen again.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class CtrlC:
    """Raises `KeyboardInterrupt` at Ctrl-C as Python does while the block runs, and remembers that it did."""

    def __init__(self) -> None:
        self._came = False
        self._waits = False

    def __enter__(self) -> Self:
        self._in_charge = threading.current_thread() is threading.main_thread()  # no other may set handlers
        if self._in_charge:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_charge:
            signal.signal(signal.SIGINT, self._before)

    def heed(self) -> None:
        """Raise what was dropped.

        Raises
        ------
        KeyboardInterrupt
            If there was a Ctrl-C since the last call.
        """
        if self._came:
            self._came = False
            raise KeyboardInterrupt

    @contextmanager
    def later(self) -> Iterator[None]:
        """Let a Ctrl-C wait for the end of the block, which must not be left half done."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        self.heed()

    def _note(self, *_: object) -> None:
        self._came = True
        if not self._waits:
            raise KeyboardInterrupt
