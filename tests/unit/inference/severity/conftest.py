from collections.abc import Callable

import numpy as np
import pytest

from inference.severity.prepared import Prepared, prepare


@pytest.fixture
def prepared() -> Callable[..., Prepared]:
    """Prepare a grid that is all lung on the slices named, and has none on others."""

    def make(shape: tuple[int, int, int], *, without: tuple[int, ...] = ()) -> Prepared:
        labels = np.ones(shape, dtype=np.uint8)
        labels[list(without)] = 0
        found = prepare(np.zeros(shape, dtype=np.int16), labels)
        assert isinstance(found, Prepared)
        return found

    return make
