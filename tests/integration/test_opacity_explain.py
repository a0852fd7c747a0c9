"""The explaining cascade through the worker: what it writes, read by tools that nobody of this project wrote."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import radiograph, resident
from inference.findings import Refusal
from inference.registry import load_several
from node import worker
from tests.narrow_explain import PIPELINE, Explain
from tests.radiographs import write_xray
from tests.validators import dciodvfy_errors, dsrdump
from tests.xray_jobs import inflated, job, objects

SHAPE = (360, 400)
PLACE = np.s_[140:200, 90:130]
"""Of opacity, in the right lung of the weights' making."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Regressors that say of the left lung that nearly all of it is opacity, whatever they see."""
    extents = {"right": (1.0, 0.0), "left": (0.0, 0.7)}
    with pytest.MonkeyPatch.context() as patch:
        yield Explain(tmp_path_factory.mktemp("explain"), extents=extents).stand_in(patch)
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
    """Nothing marked, on an image whose pixels have no size."""
    folder = tmp_path_factory.mktemp("negative")
    return folder, worker.run(spec(folder, weights, changes={"PixelSpacing": None}, threshold=1.0), "cpu")


@pytest.mark.parametrize("run", ["positive", "negative"])
def test_every_object_is_valid(run, request):
    written = objects(request.getfixturevalue(run))
    assert set(written) == {"seg", "sr", "map", "key-image"}
    written["map"] = inflated(written["map"])
    assert {kind: dciodvfy_errors(path) for kind, path in written.items()} == {kind: [] for kind in written}


def test_the_report_says_by_which_scores_and_thresholds_each_branch_was_taken(positive):
    report = dsrdump(objects(positive)["sr"])
    assert '"Opacity")=(10828004,SCT,"Positive")' in report
    assert '"Right lung")=(BRANCHMAPPED,99OPNODE,"Mapped place by place")' in report
    assert '"Left lung")=(BRANCHWHOLE,99OPNODE,"Whole lung marked")' in report
    assert '"decision_opacity=EfficientNet-B4 1.0000, ConvNeXt-tiny 1.0000, mean 1.0000 >= 0.8: probable"' in report
    assert '"decision_left_lung=EfficientNet-B4 0.7000, ConvNeXt-tiny 0.7000, mean 0.7000 >= 0.5: whole lung' in report
    assert '"extent_threshold=0.5"' in report
    assert '"Left lung: extent 70 %, at or above 50 %: all of it is marked."' in report
    for name in ("Opacity probability", "Opacity extent, right lung", "Opacity extent, left lung, ConvNeXt-tiny"):
        assert f'"{name}")=' in report


def test_a_negative_report_says_so_with_the_threshold_and_marks_nothing(negative):
    report = dsrdump(objects(negative)["sr"])
    assert '"Opacity")=(260385009,SCT,"Negative")' in report
    assert "mean 1.0000 < 1: not probable" in report
    assert "Opacity extent" not in report
    segments = pydicom.dcmread(objects(negative)["seg"]).SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == ["right lung", "left lung"]
    written = pydicom.dcmread(objects(negative)["map"])
    slope = written.RealWorldValueMappingSequence[0].RealWorldValueSlope
    assert (np.unique(written.pixel_array) * slope).tolist() == pytest.approx([1 / 255, 10 / 255], abs=slope)


def test_the_map_lies_on_the_opacity_and_on_all_of_the_lung_that_was_marked_whole(positive):
    values = pydicom.dcmread(objects(positive)["map"]).pixel_array
    assert values.shape == SHAPE
    segments = pydicom.dcmread(objects(positive)["seg"]).SegmentSequence  # the last: of opacity
    assert [segment.SegmentLabel for segment in segments] == ["right opacity", "left opacity"]
    found = {region["label"]: region for region in positive[1].summary["regions"]}
    assert found["left opacity"]["measurements"][0] == {"name": "Opacity, share of lung", "value": 100.0, "unit": "%"}
    assert np.isclose(values, 245 / 255).sum() > 0.9 * found["left lung"]["measurements"][1]["value"] / 0.64
    truth = np.zeros(SHAPE, dtype=bool)
    truth[PLACE] = True
    right = values[:, :200] >= 0.5
    grown = np.argwhere(right)
    reach = round(0.04 * 400)  # the mean extent is above a quarter
    assert np.abs(grown.min(axis=0) - (np.array([140, 90]) - reach)).max() <= 2
    assert grown.max(axis=0)[0] == pytest.approx(199 + reach, abs=2)


def test_the_summary_is_plain_values(positive):
    _, outcome = positive
    summary = json.loads(json.dumps(outcome.summary))
    assert [m["name"] for m in summary["measurements"][:3]] == [
        *("Opacity probability", "Opacity extent, right lung", "Opacity extent, left lung"),
    ]
    assert summary["algorithm"]["parameters"]["precision"] == "float32"


def test_images_together_are_found_as_each_alone_and_a_refused_one_stops_none(weights, tmp_path):
    paths = [
        write_xray(tmp_path / "a.dcm", chest()),
        write_xray(tmp_path / "b.dcm", chest()[:, ::-1], {"ViewPosition": None}),
        write_xray(tmp_path / "c.dcm", chest()[::-1, :-31], {"PatientOrientation": ["L", "H"]}),
    ]
    sources = [radiograph.load(path) for path in paths]
    pipeline = load_several(PIPELINE, weights=weights, settings={})
    first, refused, last = pipeline.together(sources, "cpu")
    assert isinstance(refused, Refusal)
    assert refused.code == "not-frontal-chest"
    assert "View Position" in refused.remedy
    assert pipeline.together([sources[1]], "cpu") == [refused]
    assert any("Hardly a frontal chest image" in warning for warning in first.warnings)
    assert first.source_instances == sources[0].sop_instance_uids
    assert [region.label for region in last.regions][:2] == ["right opacity", "left opacity"]
    alone = pipeline(sources[2], "cpu")
    assert alone.algorithm == last.algorithm
    assert alone.measurements == last.measurements
    for one, other in zip(alone.regions, last.regions, strict=True):
        assert one.label == other.label
        assert np.array_equal(one.mask, other.mask)
    np.testing.assert_allclose(alone.heatmaps[0].values, last.heatmaps[0].values, atol=1e-5)
