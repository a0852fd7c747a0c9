"""A weights folder, and slots that a test declares."""

from functools import partial

import pytest

from inference.weights import Shelf
from tests import slots


@pytest.fixture
def declare(monkeypatch):
    """Declare slots, and nothing else."""
    return partial(slots.declare, monkeypatch)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "weights")


@pytest.fixture
def put(shelf):
    """Put a file into the weights folder."""

    def write(name: str, data: bytes):
        shelf.folder.mkdir(exist_ok=True)
        path = shelf.folder / name
        path.write_bytes(data)
        return path

    return write
