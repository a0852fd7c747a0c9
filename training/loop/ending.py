"""How a training ends that somebody stops."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATED = 128 + signal.SIGTERM


@contextmanager
def stoppable() -> Iterator[None]:
    """End at SIGTERM with `SystemExit` of status 143, and at Ctrl-C with `KeyboardInterrupt`.

    Lightning takes both for itself: it waits for the end of a step, which is minutes on a CPU, ends at SIGTERM as if
    all had been done, and at Ctrl-C as at any failure.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except SystemExit as ended:
        if ended.code == TERMINATED:
            raise
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(*_: object) -> None:
    sys.exit(TERMINATED)
