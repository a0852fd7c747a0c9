"""Heaps of glibc, which malloc_info(3) counts."""

import platform
import subprocess
import sys

import pytest

_THREADS = """
import ctypes, sys, threading
from node.heaps import keep_heaps_small
assert sys.argv[1] == "own" or keep_heaps_small()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
together = threading.Barrier(6)
def hold():
    library.malloc(ctypes.c_size_t(1000))
    together.wait()
threads = [threading.Thread(target=hold) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.fdopen.restype = ctypes.c_void_p
library.malloc_info(0, ctypes.c_void_p(library.fdopen(1, b"w")))
library.fflush(None)
"""


def heaps(how: str) -> int:
    command = [sys.executable, "-c", _THREADS, how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return ended.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_threads_share_two_heaps_of_which_each_would_have_its_own():
    assert heaps("own") > 2
    assert heaps("shared") <= 2
