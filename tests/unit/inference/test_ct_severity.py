"""`ct-severity` without files: what it refuses, what it warns of, and what it finds in a phantom."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset

from dicom_out.resampling import resampled
from inference import resident
from inference.batches import Batches
from inference.findings import SelectionRefusedError
from inference.pipelines.ct_severity import CARD, CTSeverity
from inference.registry import load
from inference.weights import MissingWeightsError
from phantom.ct import make_chest
from tests.severity import I3D_SLOT, LTC_SLOT, fill_shelf, plant_lungs, planted_labels


@pytest.fixture(scope="module")
def small_chest():
    return make_chest(slices=58, rows=100, columns=100, spacing_mm=(5.0, 3.5, 3.5))


@pytest.fixture
def stack(series_of, small_chest):
    series = series_of(small_chest.hounsfield, small_chest.spacing_mm)
    headers = []
    for number in range(len(small_chest.hounsfield)):
        header = Dataset()
        header.SOPInstanceUID = f"1.2.{number}"
        headers.append(header)
    return replace(series, headers=tuple(headers))


@pytest.fixture
def labels(stack, small_chest):
    return planted_labels(stack, small_chest)


@pytest.fixture
def run(tmp_path, monkeypatch, stack):
    fill_shelf(monkeypatch, tmp_path / "weights")

    def on(labels, device="cpu"):
        plant_lungs(monkeypatch, labels)
        return CTSeverity(tmp_path / "weights")(replace(stack), device)

    yield on
    resident.release_all()


def refusal_of(run, labels):
    with pytest.raises(SelectionRefusedError) as refused:
        run(labels)
    return refused.value.refusal


def test_without_its_networks_it_does_not_begin_and_names_all_that_is_missing(tmp_path):
    with pytest.raises(MissingWeightsError) as missing:
        load(CARD.name, weights=tmp_path)
    assert all(name in str(missing.value) for name in (LTC_SLOT, I3D_SLOT, "lungmask-r231"))


def test_no_lungs_are_refused(run, labels):
    assert refusal_of(run, np.zeros_like(labels)).code == "no-lungs-found"


def test_too_little_of_them_is_refused(run, labels):
    labels[np.flatnonzero(labels.any(axis=(1, 2)))[9:]] = 0
    refusal = refusal_of(run, labels)
    assert refusal.code == "too-little-lung"
    assert refusal.reason.endswith("slices of 58; at least 10 such slices are needed.")


def test_a_single_lung_is_judged_and_the_reader_is_told(run, labels):
    labels[labels == 2] = 0
    assert "No left lung was found: all that is said is of the other alone." in run(labels).warnings


def test_a_gpu_without_memory_is_told_of_in_the_result(run, labels, monkeypatch):
    enough = Batches._run

    def without_a_gpu(batches, inputs):
        if batches._device != "cpu":
            raise torch.OutOfMemoryError("too much")
        return enough(batches, inputs)

    monkeypatch.setattr(Batches, "_run", without_a_gpu)
    findings = run(labels, "cuda:0")
    assert "The memory of the GPU ran out: the rest was computed on the CPU." in findings.warnings
    assert findings.algorithm.parameters["device"] == "cpu"


def test_a_scan_that_ends_within_the_lungs_is_refused(run, labels):
    kept = np.flatnonzero(np.count_nonzero(labels, axis=(1, 2)))
    labels[: kept[0] + 3] = labels[kept[len(kept) // 2]]
    assert refusal_of(run, labels).code == "lungs-cut"


def test_what_does_not_fit_the_card_is_refused(stack, tmp_path):
    turned = replace(stack, geometry=replace(stack.geometry, row_direction=(0.0, 1.0, 0.0)))
    assert CTSeverity(tmp_path).accepts(turned).code == "not-axial"
    assert CTSeverity(tmp_path).accepts(stack) is None


def test_slices_between_others_that_are_not_looked_at_are_told_of_and_have_no_attention(run, labels, stack):
    gap = [30, 31, 32]
    labels[gap] = 0
    findings = run(labels)
    assert any(warning.startswith("3 slices of 5 mm between others") for warning in findings.warnings)
    assert findings.heatmaps
    for heatmap in findings.heatmaps:
        assert not heatmap.values[gap].any()
        assert heatmap.values[29].any()
        on_source = np.stack(list(resampled(heatmap, stack.geometry, stack.pixel_array.shape)))
        assert not on_source[31].any()


def test_findings_hold_lungs_numbers_answers_and_what_a_reader_must_know(run, labels, small_chest):
    findings = run(labels)
    assert [region.label for region in findings.regions] == ["right lung", "left lung"]
    for region, truth in zip(findings.regions, (small_chest.right_lung, small_chest.left_lung), strict=True):
        assert 2 * (region.mask & truth).sum() / (region.mask.sum() + truth.sum()) > 0.97
    assert findings.measurements[0].concept.meaning.startswith("Severity level")
    assert findings.headlines == 2
    assert [answer.concept.meaning for answer in findings.categories] == [
        "Severity, mean",
        "Severity, LTC",
        "Severity, I3D",
    ]
    assert findings.warnings[-2:] == (
        "Uncalibrated: levels and scores mean what this site trained its networks to say.",
        "Severity levels hold given COVID-19 only.",
    )
    assert findings.algorithm.parameters["input_ltc"] == findings.algorithm.parameters["input_i3d"] == "16 x 32 x 48"
    assert [heatmap.label for heatmap in findings.heatmaps] == ["attention LTC", "attention I3D"]
    assert all(heatmap.values.min() >= 0 and 0.5 < heatmap.values.max() <= 1 for heatmap in findings.heatmaps)


def test_the_same_ct_gives_the_same_findings(run, labels):
    first, second = run(labels), run(labels)
    assert first.measurements == second.measurements
    assert first.algorithm == second.algorithm
    for one, other in zip(first.heatmaps, second.heatmaps, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_a_network_that_looks_at_nothing_is_told_of_and_has_no_map(run, labels, tmp_path, monkeypatch):
    monkeypatch.setattr("inference.severity.reading.normalised", lambda _: None)
    findings = run(labels)
    assert findings.heatmaps == ()
    for name in ("LTC", "I3D"):
        assert f"No attention map of {name}: nothing in its last block speaks for its level." in findings.warnings
