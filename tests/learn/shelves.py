"""Weights that were just trained, put where the node looks for weights, by the command that an operator uses."""

from pathlib import Path
from types import MappingProxyType

import pytest
from typer.testing import CliRunner

from inference.weights import manifest
from node.cli import app
from tests.slots import pinned


def stand_in(monkeypatch: pytest.MonkeyPatch, slot: str, folder: Path) -> None:
    """Fill the slot of a published file with a few bytes that no network can be made of: truth is planted instead."""
    held = b"planted by a test"
    declared = manifest.SLOTS[slot].model_copy(update={"pin": pinned(held), "size": len(held)})
    monkeypatch.setattr(manifest, "SLOTS", MappingProxyType({**manifest.SLOTS, slot: declared}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / declared.file).write_bytes(held)


def install(slot: str, path: Path, folder: Path) -> None:
    """Run ``opacity-node models add``."""
    config = folder.parent / "config.toml"
    config.write_text(f'[storage]\npath = "{folder.parent / "storage"}"\nweights = "{folder}"\n')
    done = CliRunner().invoke(app, ["models", "add", slot, str(path), "--config", str(config)])
    assert done.exit_code == 0, done.output
