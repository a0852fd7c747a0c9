"""Memory that a network on a CPU hands from layer to layer, in place of asking the system for it each time.

glibc maps what is larger than 32 MB anew whenever it is asked for, and the system clears every page of it: a fifth of
the time of a network on large images. While one runs such memory is taken from the heap and kept; afterwards it goes
back. Elsewhere than on glibc nothing changes.

The heap has a gap then, which arrays up to its size fill, and which keeps their memory when they are gone: this is not
for networks beside large volumes.

References
----------
mallopt(3), malloc_trim(3).
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER = 2**31 - 1
_USUAL = {_MMAP_MAX: 1 << 16, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""The first is glibc's own; the others are where it lets the thresholds grow to by itself, until they are first set."""


@contextmanager
def kept() -> Iterator[None]:
    """Keep memory that is let go of within; not to be nested."""
    glibc = _glibc()
    if glibc is None:
        yield
        return
    glibc.mallopt(_TRIM_THRESHOLD, _NEVER)
    glibc.mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            glibc.mallopt(parameter, value)
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
