"""The pipeline on weights made by hand."""

from pathlib import Path

import pytest

from inference import resident
from inference.compute import Limits, Precision, limits, set_limits
from tests.narrow_ensemble import Ensemble


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return Ensemble(tmp_path_factory.mktemp("ensemble"))


@pytest.fixture(scope="module")
def weights(ensemble: Ensemble):
    before = limits()
    set_limits(Limits(precision=Precision.FLOAT32))
    with pytest.MonkeyPatch.context() as patch:
        folder: Path = ensemble.stand_in(patch)
        yield folder
    resident.release_all()
    set_limits(before)
