import contextlib
import platform
import resource

import psutil
import pytest
import torch

from inference import cpu_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="nothing changes elsewhere")

_LARGE = 100_000_000
"""More bytes than glibc takes from the heap by itself."""


def faults_of(tensors: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(tensors):
        torch.ones(_LARGE, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_memory_that_was_let_go_of_is_used_again_without_asking_the_system():
    pages = _LARGE // resource.getpagesize()
    assert faults_of(2) >= 2 * pages
    with cpu_memory.kept():
        assert faults_of(16) < 8 * pages


@pytest.mark.parametrize("fault", [None, "the network failed"])
def test_afterwards_the_system_has_it_back_and_gives_anew(fault):
    process = psutil.Process()
    before = process.memory_info().rss
    with contextlib.suppress(ValueError), cpu_memory.kept():
        torch.ones(_LARGE, dtype=torch.uint8)
        assert process.memory_info().rss - before > _LARGE / 2
        if fault:
            raise ValueError(fault)
    assert process.memory_info().rss - before < _LARGE / 10
    assert faults_of(2) > _LARGE // resource.getpagesize()
