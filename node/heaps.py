"""How many heaps the threads of the service share.

glibc gives each thread a heap of its own, up to eight for each processor, and each keeps what its thread once needed:
13 MB after 7,000 instances. Python's threads take turns anyway, so that two heaps are as fast.

References
----------
mallopt(3), M_ARENA_MAX.
"""

import ctypes

_ARENA_MAX = -8
_HEAPS = 2


def share_heaps() -> bool:
    """Have all threads share two heaps, and say whether they do; to be called before there are threads."""
    library = ctypes.CDLL(None)
    return hasattr(library, "gnu_get_libc_version") and library.mallopt(_ARENA_MAX, _HEAPS) == 1
