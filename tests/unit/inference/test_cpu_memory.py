import platform
import resource

import numpy as np
import psutil
import pytest
import torch

from inference import cpu_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="nothing changes elsewhere")

_LARGE = 48_000_000
"""More bytes than glibc takes from the heap."""


def faults_of_a_second_array() -> int:
    torch.ones(_LARGE, dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(_LARGE, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_memory_that_was_let_go_of_is_used_again_without_asking_the_system():
    pages = _LARGE // resource.getpagesize()
    with cpu_memory.kept():
        assert faults_of_a_second_array() < pages / 20


def test_afterwards_the_system_has_it_back_and_large_arrays_come_from_there_again():
    process = psutil.Process()
    before = process.memory_info().rss
    with cpu_memory.kept():
        np.ones(_LARGE, np.uint8)
        assert process.memory_info().rss - before > _LARGE / 2
    assert process.memory_info().rss - before < _LARGE / 10
    held = np.ones(_LARGE, np.uint8)
    assert process.memory_info().rss - before > _LARGE / 2
    del held
    assert process.memory_info().rss - before < _LARGE / 10


def test_a_fault_within_leaves_nothing_behind():
    with pytest.raises(ValueError, match="a network"), cpu_memory.kept():
        raise ValueError("a network")
    before = psutil.Process().memory_info().rss
    np.ones(_LARGE, np.uint8)
    assert psutil.Process().memory_info().rss - before < _LARGE / 10
