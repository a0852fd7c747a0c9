"""Chests that several tests look at, each made and measured once."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference import series
from inference.ct_lungs import Lungs, find_lungs_classical
from inference.geometry import Geometry
from phantom.ct import ChestPhantom, make_chest
from phantom.dicom import write_study


@pytest.fixture(scope="session")
def chest() -> ChestPhantom:
    return make_chest()


@pytest.fixture(scope="session")
def clear_chest() -> ChestPhantom:
    return make_chest(opacity=False)


@pytest.fixture(scope="session")
def chest_files(chest: ChestPhantom, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_study(tmp_path_factory.mktemp("chest"), chest)


@pytest.fixture(scope="session")
def chest_series(chest_files: list[Path]) -> series.Series:
    return series.load(chest_files)


@pytest.fixture(scope="session")
def chest_lungs(chest_series: series.Series) -> Lungs:
    lungs = find_lungs_classical(chest_series)
    assert isinstance(lungs, Lungs)
    return lungs


@pytest.fixture
def series_of() -> Callable[..., series.Series]:
    """Make a series of an array, without files."""

    def make(hounsfield: np.ndarray, spacing_mm: tuple[float, float, float] = (4.0, 1.4, 1.4)) -> series.Series:
        geometry = Geometry(
            origin_mm=(0.0, 0.0, 0.0),
            row_direction=(1.0, 0.0, 0.0),
            column_direction=(0.0, 1.0, 0.0),
            slice_direction=(0.0, 0.0, 1.0),
            spacing_mm=spacing_mm,
        )
        return series.Series(headers=(), pixel_array=hounsfield, geometry=geometry)

    return make


@pytest.fixture(scope="session")
def ricord_series() -> series.Series:
    """The real chest CT that is never part of the repository."""
    data = Path(os.environ.get("OPACITY_NODE_DATA") or Path(__file__).parents[4] / "shared/data")
    files = sorted((data / "ct/midrc_ricord_1a_001012").glob("*.dcm"))
    if not files:
        pytest.skip(f"no CT in {data}; set OPACITY_NODE_DATA to the folder with ct/midrc_ricord_1a_001012")
    return series.load(files)


@pytest.fixture(scope="session")
def ricord_lungs(ricord_series: series.Series) -> Lungs:
    lungs = find_lungs_classical(ricord_series)
    assert isinstance(lungs, Lungs)
    return lungs
