"""`ct-severity` as the worker runs it: networks of random weights, and every object it writes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_out.part10 import inflate
from inference import series
from node.worker import JobSpec, run
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.severity import fill_shelf, plant_lungs, planted_labels
from tests.validators import dciodvfy_errors, dsrdump


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct-severity")
    chest = make_chest(slices=58, rows=96, columns=96, spacing_mm=(5.0, 3.6, 3.6))
    files = write(folder / "study", to_datasets(chest))
    spec = JobSpec(
        job_id=1,
        pipeline="ct-severity",
        selection_hash="a" * 64,
        revision_number=1,
        created_at=datetime(2026, 1, 2, 12, tzinfo=UTC),
        paths=tuple(files),
        demographics_path=files[0],
        predecessors=(),
        storage=folder,
        result_folder=Path("results"),
        weights=folder / "weights",
        series_number=9500,
        series_description_prefix="AI",
        maps=("map",),
    )
    with pytest.MonkeyPatch.context() as patch:
        fill_shelf(patch, spec.weights)
        plant_lungs(patch, planted_labels(series.load(files), chest))
        outcome = run(spec, "cpu")
    assert outcome.refusal is None
    return [(result.kind, folder / result.path) for result in outcome.results]


def plain(path: Path) -> Path:
    """A map is stored deflated; validators read it inflated."""
    copy = path.with_suffix(".plain")
    with copy.open("wb") as file:
        inflate(path, file)
    return copy


def test_every_object_is_valid(results):
    assert [kind for kind, _ in results] == ["seg", "sr", "map", "map", "key-image"]
    assert [dciodvfy_errors(plain(path) if kind == "map" else path) for kind, path in results] == [[]] * 5


def test_the_report_says_level_scores_and_answers_in_words(results):
    (path,) = [path for kind, path in results if kind == "sr"]
    text = dsrdump(path)
    for words in ("Severity level", "of 5, mean, uncalibrated", "COVID-19 score, I3D, uncalibrated", "Severity, LTC"):
        assert words in text
    assert "given COVID-19 only" in text


def test_each_map_is_on_the_grid_of_the_ct_and_named_after_its_network(results):
    maps = [dcmread(plain(path)) for kind, path in results if kind == "map"]
    assert [found.ContentLabel for found in maps] == ["ATTENTION LTC", "ATTENTION I3D"]
    for found in maps:
        assert (int(found.NumberOfFrames), found.Rows, found.Columns) == (58, 96, 96)
        values = found.pixel_array
        assert 0 <= values.min() < 0.5 < values.max() <= 1
