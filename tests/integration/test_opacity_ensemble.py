"""The ensemble through the worker: what it writes, read by tools that nobody of this project wrote."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from nnunetv2.inference import predict_from_raw_data

from inference import radiograph, resident
from inference.findings import Refusal
from inference.networks import xrv
from inference.registry import load_several
from node import worker
from tests.narrow_ensemble import PIPELINE, Ensemble
from tests.radiographs import write_xray
from tests.validators import dciodvfy_errors, dsrdump
from tests.xray_jobs import inflated, job, objects

SHAPE = (360, 400)
PLACE = np.s_[140:200, 90:150]
"""Of opacity, in the right lung of the weights' making."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield Ensemble(tmp_path_factory.mktemp("ensemble")).stand_in(patch)
    resident.release_all()


def chest() -> np.ndarray:
    y, x = np.indices(SHAPE)
    pixels = (1600 * ((7 * x + 13 * y) % 101) / 100).astype(np.uint16)
    pixels[PLACE] = 4000
    return pixels


def spec(folder: Path, weights: Path, **settings) -> worker.JobSpec:
    return job(PIPELINE, folder, weights, chest(), **settings)


@pytest.fixture(scope="module")
def positive(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("positive")
    return folder, worker.run(spec(folder, weights), "cpu")


@pytest.fixture(scope="module")
def negative(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("negative")
    return folder, worker.run(spec(folder, weights, threshold=1.0, variant="zones-low"), "cpu")


@pytest.fixture(scope="module")
def lungless(weights, tmp_path_factory):
    """Opacity on an image whose lungs were not found, and whose pixels have no size: it has neither share nor area."""
    folder = tmp_path_factory.mktemp("lungless")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xrv.Lungs, "masks", property(_nothing))
        return folder, worker.run(spec(folder, weights, changes={"PixelSpacing": None}), "cpu")


def _nothing(lungs: xrv.Lungs) -> np.ndarray:
    return np.zeros_like(lungs.probabilities, dtype=bool)


def test_opacity_is_told_and_marked_where_no_lung_was_found(lungless):
    report = dsrdump(objects(lungless)["sr"])
    assert '"Opacity")=(10828004,SCT,"Positive")' in report
    assert "Opacity, share of lung" not in report
    assert "No right and no left lung was found" in report
    segments = pydicom.dcmread(objects(lungless)["seg"]).SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == ["opacity"]


@pytest.mark.parametrize("run", ["positive", "negative", "lungless"])
def test_every_object_is_valid(run, request):
    written = objects(request.getfixturevalue(run))
    assert set(written) == {"seg", "sr", "map", "key-image"}
    written["map"] = inflated(written["map"])
    assert {kind: dciodvfy_errors(path) for kind, path in written.items()} == {kind: [] for kind in written}


def test_a_positive_image_says_so_with_every_score(positive):
    report = dsrdump(objects(positive)["sr"])
    assert '"Opacity")=(10828004,SCT,"Positive")' in report
    for name in ("Opacity probability", "Opacity score, DenseNet-121", "Opacity score, nnU-Net 768"):
        assert f'"{name}")=' in report
    assert report.count("DenseNet-121 score, ") == 17
    assert "variant=zones-high" in report
    assert "zone_values=0.4 0.6 0.8 0.95" in report


def test_a_negative_image_says_so_with_the_threshold_and_marks_nothing(negative):
    report = dsrdump(objects(negative)["sr"])
    assert '"Opacity")=(260385009,SCT,"Negative")' in report
    assert "Negative: the mean of four uncalibrated scores is" in report
    assert "below the threshold of 100 %" in report
    assert "Opacity, share of lung" in report
    segments = pydicom.dcmread(objects(negative)["seg"]).SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == ["right lung", "left lung"]
    values = pydicom.dcmread(objects(negative)["map"]).pixel_array
    assert np.unique(values).tolist() == [0.0, pytest.approx(0.05)]


def test_the_map_lies_on_the_opacity(positive):
    values = pydicom.dcmread(objects(positive)["map"]).pixel_array
    assert values.shape == SHAPE
    truth = np.zeros(SHAPE, dtype=bool)
    truth[PLACE] = True
    marked = values >= 0.5
    assert 2 * (marked & truth).sum() / (marked.sum() + truth.sum()) > 0.97


def test_the_summary_is_plain_values(positive):
    _, outcome = positive
    summary = json.loads(json.dumps(outcome.summary))
    assert [region["label"] for region in summary["regions"]] == ["right opacity", "right lung", "left lung"]
    assert summary["measurements"][0]["name"] == "Opacity probability"
    assert summary["algorithm"]["parameters"]["precision"] == "float32"


def test_an_image_of_unknown_view_without_lungs_is_refused_and_one_that_states_its_view_is_warned_about(
    weights, tmp_path, positive
):
    outcome = worker.run(spec(tmp_path, weights, changes={"ViewPosition": None}), "cpu")
    assert outcome.refusal is not None
    assert outcome.refusal.code == "not-frontal-chest"
    assert "View Position" in outcome.refusal.remedy
    assert any("Hardly a frontal chest image" in warning for warning in positive[1].summary["warnings"])


def test_images_together_are_found_as_each_alone_and_a_refused_one_stops_none(weights, tmp_path):
    paths = [
        write_xray(tmp_path / "a.dcm", chest()),
        write_xray(tmp_path / "b.dcm", chest()[:, ::-1], {"ViewPosition": None}),
        write_xray(tmp_path / "c.dcm", chest()[::-1, :-31], {"PatientOrientation": ["L", "H"]}),
    ]
    sources = [radiograph.load(path) for path in paths]
    pipeline = load_several(PIPELINE, weights=weights, settings={})
    (alone_refused,) = pipeline.together([sources[1]], "cpu")
    first, refused, last = pipeline.together(sources, "cpu")
    assert alone_refused == refused
    assert isinstance(refused, Refusal)
    assert first.source_instances == sources[0].sop_instance_uids
    assert first.regions[0].label == "right opacity"
    weighed = predict_from_raw_data.compute_gaussian.cache_info().misses
    alone = pipeline(sources[2], "cpu")
    assert predict_from_raw_data.compute_gaussian.cache_info().misses == weighed  # of three sizes nothing is made anew
    assert [(m.concept, m.value) for m in last.measurements] == [
        (m.concept, pytest.approx(m.value, abs=1e-3)) for m in alone.measurements
    ]
    for one, other in zip(alone.regions, last.regions, strict=True):
        assert one.label == other.label
        assert np.array_equal(one.mask, other.mask)
    np.testing.assert_allclose(alone.heatmaps[0].values, last.heatmaps[0].values, atol=1e-5)
