"""What the service's heaps keep of the memory that it once needed.

glibc gives each thread a heap of its own, up to eight for each processor, and each keeps what its thread once needed:
13 MB after 7,000 instances. Python's threads take turns anyway, so that two heaps are as fast. It also comes to take
larger and larger blocks from a heap, which are given back to the system only if nothing lies above them.

References
----------
mallopt(3), M_ARENA_MAX and M_MMAP_THRESHOLD.
"""

import ctypes

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
_HEAPS = 2
_LARGE_BLOCK = 131_072
"""From so many bytes on a block is the system's own; glibc begins with that, too."""


def keep_heaps_small() -> bool:
    """Have threads share two heaps without large blocks, and say whether they do; to be called before there are any."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(*setting) == 1 for setting in ((_ARENA_MAX, _HEAPS), (_MMAP_THRESHOLD, _LARGE_BLOCK)))
