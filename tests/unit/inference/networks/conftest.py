"""Weights of tests, as if they had been verified."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference import resident
from inference.weights import Verified, manifest
from inference.weights.manifest import Form


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """Write a network, or what stands for it, as the file of a slot."""

    def store(slot: str, content, *, form: Form | None = None) -> Verified:
        declared = manifest.SLOTS[slot]
        path = tmp_path_factory.mktemp(slot) / declared.file
        torch.save(content, path)
        return Verified(
            slot=replace(declared, form=form) if form else declared,
            path=path,
            sha256=str(path),
            outputs=declared.outputs,
            thresholds=dict(declared.thresholds),
        )

    yield store
    resident.release_all()


@pytest.fixture(scope="session")
def images():
    """Images of three shapes, none of them square but one."""
    random = np.random.default_rng(3)
    return [random.random(shape, dtype=np.float32) for shape in ((300, 260), (256, 256), (241, 350))]
