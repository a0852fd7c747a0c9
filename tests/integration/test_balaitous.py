"""`balaitous` through the worker: what is written of a chest, and what is refused."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from node.worker import JobSpec, run
from phantom.ct import make_chest
from phantom.dicom import coronal_reformat, to_datasets, write
from tests.parity import cases, ours
from tests.parity.planting import fill_shelf, plant_tiny_networks
from tests.validators import dciodvfy_errors, dsrdump

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    return cases.phantom("padded and cropped", tmp_path_factory.mktemp("chest"))


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Run the pipeline on files, with lungs and networks that stand in for those of the true weights."""
    fill_shelf(monkeypatch, tmp_path / "weights")
    plant_tiny_networks(monkeypatch)

    def start(paths, labels=None):
        if labels is not None:
            ours.plant(monkeypatch, labels)
        spec = JobSpec(
            job_id=1,
            pipeline="balaitous",
            selection_hash="a" * 64,
            revision_number=1,
            created_at=NOW,
            paths=tuple(paths),
            demographics_path=paths[0],
            predecessors=(),
            storage=tmp_path,
            result_folder=Path("results"),
            weights=tmp_path / "weights",
            series_number=9500,
            series_description_prefix="AI",
        )
        return run(spec, "cpu")

    return start


def files_of(case):
    return sorted(case.folder.glob("*.dcm"))


def test_a_chest_gives_a_valid_report_lungs_and_a_key_image(job, chest, tmp_path):
    outcome = job(files_of(chest), chest.labels)
    assert outcome.refusal is None
    assert [file.kind for file in outcome.results] == ["seg", "sr", "key-image"]
    for file in outcome.results:
        assert dciodvfy_errors(tmp_path / file.path) == []
    lungs = dcmread(tmp_path / outcome.results[0].path)
    assert [segment.SegmentLabel for segment in lungs.SegmentSequence] == ["right lung", "left lung"]


def test_viewers_list_both_scores_with_what_they_are_not(job, chest, tmp_path):
    outcome = job(files_of(chest), chest.labels)
    text = dsrdump(tmp_path / outcome.results[1].path)
    for name in ("COVID-19, uncalibrated score", "Severe outcome given COVID-19, uncalibrated score"):
        assert text.count(f'"{name}"') == 2  # about the series, and where viewers look for numbers
    for said in (
        "they are no probabilities",
        "given COVID-19 only",
        "Trained on patients of French hospitals",
        "author's claim, not checked here: AUC 83.22 % (COVID-19), 80.44 % (severe outcome), 800 patients",
    ):
        assert said in text


def test_the_summary_tells_age_and_sex_and_where_they_were_had(job, chest):
    summary = job(files_of(chest), chest.labels).summary
    said = {m["name"]: (m["value"], m["unit"]) for m in summary["measurements"]}
    assert said["Age used, from Patient's Age"] == (19.0, "a")
    assert said["Sex used (1 male, 0 female), from Patient's Sex"] == (1.0, "1")
    assert 0 < said["COVID-19, uncalibrated score"][0] < 100
    assert summary["algorithm"]["weights_sha256"]
    assert summary["algorithm"]["parameters"]["precision"] in ("float32", "bfloat16")


def test_volumes_are_those_of_the_cleaned_lungs(job, chest):
    summary = job(files_of(chest), chest.labels).summary
    truth = make_chest(**cases.PHANTOMS["padded and cropped"])
    voxel_ml = np.prod(truth.spacing_mm) / 1000
    for region, mask in zip(summary["regions"], (truth.right_lung, truth.left_lung), strict=True):
        assert region["measurements"][0]["value"] == pytest.approx(mask.sum() * voxel_ml, rel=0.03)


def test_a_chest_without_lungs_is_refused(job, chest):
    refusal = job(files_of(chest), np.zeros_like(chest.labels)).refusal
    assert (refusal.code, refusal.remedy) == ("no-lungs-found", "Send an axial CT of the whole chest.")


def test_fewer_than_ten_slices_of_lung_are_refused(job, chest):
    labels = np.zeros_like(chest.labels)
    labels[20:29] = chest.labels[20:29]
    refusal = job(files_of(chest), labels).refusal
    assert refusal.code == "few-lung-slices"
    assert refusal.reason == "Lung was found on 9 slices of 5 mm; at least 10 are needed."


def test_a_scan_that_ends_within_the_lungs_is_refused(job, tmp_path):
    whole = make_chest(**cases.PHANTOMS["padded and cropped"])
    cut = write(tmp_path / "cut", to_datasets(whole)[18:])
    labels = whole.right_lung + 2 * whole.left_lung.astype(np.uint8)
    assert job(cut, _resampled(labels)[18:]).refusal.code == "lungs-cut"


def test_tilted_and_uneven_stacks_are_refused_when_they_are_read(job, tmp_path):
    chest = make_chest(slices=40, rows=64, columns=64, spacing_mm=(5.0, 5.5, 5.5))
    for name, change, code in (("tilted", _tilt, "tilted-gantry"), ("uneven", _shift, "uneven-spacing")):
        datasets = to_datasets(chest)
        for index, dataset in enumerate(datasets):
            dataset.ImagePositionPatient = change(index, list(dataset.ImagePositionPatient))
        refusal = job(write(tmp_path / name, datasets)).refusal
        assert refusal.code == code
        assert refusal.remedy


def test_coronal_reformats_and_other_units_are_refused(job, tmp_path):
    chest = make_chest(slices=40, rows=64, columns=64, spacing_mm=(5.0, 5.5, 5.5))
    assert job(write(tmp_path / "coronal", coronal_reformat(chest, every=1))).refusal.code == "not-axial"
    electrons = to_datasets(chest)
    for dataset in electrons:
        dataset.RescaleType = "ED"
    assert job(write(tmp_path / "electrons", electrons)).refusal.code == "not-hounsfield"


def _tilt(index, position):
    return [position[0], position[1] + 0.8 * index, position[2]]


def _shift(index, position):
    return [position[0], position[1], position[2] + (1.0 if index == 7 else 0.0)]


def _resampled(labels):
    """Return labels at 1.5 mm in the slice, whose slices are 5 mm apart as they are."""
    step = [
        np.minimum((np.arange(int(n * mm / 1.5)) * 1.5 / mm).astype(int), n - 1) for n, mm in ((96, 2.6), (180, 2.0))
    ]
    return labels[:, step[0]][:, :, step[1]]
