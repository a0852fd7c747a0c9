"""Slots and files of weights for tests: nothing of the manifest that the project ships."""

import hashlib
from types import MappingProxyType

from inference.weights import manifest
from inference.weights.manifest import Slot
from inference.weights.pins import Pin, PinKind


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pinned(data: bytes) -> Pin:
    return Pin(kind=PinKind.SHA256, value=sha256(data))


def declare(monkeypatch, *slots: dict):
    """Let there be these slots, and no others."""
    known = [
        Slot(**{"title": slot["name"], "file": f"{slot['name']}.pth", "network": "toy", "licence": "MIT", **slot})
        for slot in slots
    ]
    monkeypatch.setattr(manifest, "SLOTS", MappingProxyType({slot.name: slot for slot in known}))
    return known[0] if len(known) == 1 else known
