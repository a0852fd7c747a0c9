"""The pipeline on weights made by hand."""

from pathlib import Path

import pytest

from inference import resident
from inference.compute import Limits, Precision, limits, set_limits
from tests.narrow_explain import Explain


@pytest.fixture(scope="package")
def weights(tmp_path_factory: pytest.TempPathFactory):
    before = limits()
    set_limits(Limits(precision=Precision.FLOAT32))
    with pytest.MonkeyPatch.context() as patch:
        folder: Path = Explain(tmp_path_factory.mktemp("explain")).stand_in(patch)
        yield folder
    resident.release_all()
    set_limits(before)
