"""Slots and files for tests: a network of two outputs, and the weights folder of a test."""

import hashlib
from types import MappingProxyType

import pytest

from inference.weights import Shelf, manifest
from inference.weights.manifest import Slot
from inference.weights.pins import Pin, PinKind


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pinned(data: bytes) -> Pin:
    return Pin(kind=PinKind.SHA256, value=sha256(data))


@pytest.fixture
def declare(monkeypatch):
    """Declare slots, and nothing else."""

    def declared(*slots: dict):
        known = [
            Slot(**{"title": slot["name"], "file": f"{slot['name']}.pth", "network": "toy", "licence": "MIT", **slot})
            for slot in slots
        ]
        monkeypatch.setattr(manifest, "SLOTS", MappingProxyType({slot.name: slot for slot in known}))
        return known[0] if len(known) == 1 else known

    return declared


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
