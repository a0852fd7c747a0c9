import contextlib
import platform
import resource
from multiprocessing import get_context

import psutil
import pytest
import torch

from inference import cpu_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="nothing changes elsewhere")

_LARGE = 100_000_000
"""More bytes than glibc takes from the heap by itself."""


_CONTEXT = get_context("spawn")


def alone(work, *given):
    """Return what a process says that has no memory left over from other tests."""
    with _CONTEXT.Pool(1) as pool:
        return pool.apply_async(work, given).get(timeout=120)


def faults_of(tensors: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(tensors):
        torch.ones(_LARGE, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def faults_before_and_while_kept():
    before = faults_of(2)
    with cpu_memory.kept():
        return before, faults_of(16)


def test_memory_that_was_let_go_of_is_used_again_without_asking_the_system():
    pages = _LARGE // resource.getpagesize()
    before, kept = alone(faults_before_and_while_kept)
    assert before >= 2 * pages
    assert kept < 8 * pages


def held_while_and_after(fault):
    process = psutil.Process()
    before = process.memory_info().rss
    with contextlib.suppress(ValueError), cpu_memory.kept():
        torch.ones(_LARGE, dtype=torch.uint8)
        held = process.memory_info().rss - before
        if fault:
            raise ValueError(fault)
    return held, process.memory_info().rss - before, faults_of(2)


@pytest.mark.parametrize("fault", [None, "the network failed"])
def test_afterwards_the_system_has_it_back_and_gives_anew(fault):
    held, left, faults = alone(held_while_and_after, fault)
    assert held > _LARGE / 2
    assert left < _LARGE / 10
    assert faults > _LARGE // resource.getpagesize()
