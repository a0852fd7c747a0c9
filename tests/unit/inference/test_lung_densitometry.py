import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference import ct_lungs, registry
from inference.findings import Purpose, Refusal, SelectionRefusedError
from inference.pipelines.lung_densitometry import CARD, LungDensitometry
from inference.series import load
from inference.weights import WrongWeightsError, manifest, pins
from phantom.ct import make_chest
from phantom.dicom import coronal_reformat, write, write_study

HEAVY = {"torch", "SimpleITK", "scipy", "skimage", "lungmask"}


@pytest.fixture(scope="session")
def findings(chest_series, tmp_path_factory):
    return LungDensitometry(tmp_path_factory.mktemp("no-weights"))(chest_series, "cpu")


def values(measurements):
    return {m.concept.meaning: m.value for m in measurements}


def with_header(series, **attributes):
    header = deepcopy(series.headers[0])
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return replace(series, headers=(header, *series.headers[1:]))


def test_the_registry_imports_no_imaging_library_and_no_torch():
    code = f"import sys, inference.registry; print(sorted({HEAVY!r} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_registry_knows_it(tmp_path):
    assert registry.load(CARD.name, weights=tmp_path).card is CARD


def test_volumes_are_those_of_the_planted_lungs(findings, chest):
    voxel_ml = np.prod(chest.spacing_mm) / 1000
    by_label = {region.label: region for region in findings.regions}
    assert list(by_label) == ["right lung", "left lung", "opacity"]
    for label, truth in (("right lung", chest.right_lung), ("left lung", chest.left_lung), ("opacity", chest.opacity)):
        assert values(by_label[label].measurements)["Volume"] == pytest.approx(truth.sum() * voxel_ml, rel=0.05)
    assert values(findings.measurements)["Volume"] == pytest.approx(
        sum(values(by_label[label].measurements)["Volume"] for label in ("right lung", "left lung"))
    )


def test_planted_opacity_is_found_where_it_is(findings, chest):
    (opacity,) = (region for region in findings.regions if region.purpose is Purpose.OPACITY)
    overlap = 2 * (opacity.mask & chest.opacity).sum() / (opacity.mask.sum() + chest.opacity.sum())
    assert overlap >= 0.93


def test_shares_are_those_of_the_voxels_in_the_bands(findings, chest):
    lung = chest.hounsfield[findings.regions[0].mask | findings.regions[1].mask]
    whole = values(findings.measurements)
    assert whole["Emphysema index (< -950 HU)"] == pytest.approx(100 * (lung < -950).mean())
    assert whole["High-attenuation area (-600 to -250 HU)"] == pytest.approx(
        100 * ((lung >= -600) & (lung < -250)).mean()
    )
    assert whole["Consolidation (> -250 HU, with vessels)"] == pytest.approx(100 * (lung >= -250).mean())
    assert whole["Mean lung density"] == pytest.approx(lung.mean(), abs=0.01)


def test_the_map_is_made_when_it_is_looked_at_and_is_high_where_opacity_was_planted(findings, chest):
    (heatmap,) = findings.heatmaps
    with pytest.raises(AttributeError):
        object.__getattribute__(heatmap, "values")
    factors = np.round(np.array(heatmap.grid.spacing_mm) / chest.spacing_mm).astype(int)
    share = heatmap.values
    for axis, factor in enumerate(factors):
        share = share.repeat(factor, axis)
    assert share[chest.opacity].mean() > 0.8
    assert share[~chest.opacity].mean() < 0.01


def test_a_clear_chest_has_next_to_no_opacity(clear_chest, tmp_path):
    findings = LungDensitometry(tmp_path / "none")(load(write_study(tmp_path, clear_chest)), "cpu")
    # The hila of the phantom are knots of vessels, wider than the opening; 0.1 % of the lung.
    assert values(findings.measurements)["Opacity, share of lung"] < 0.1


def test_source_instances_are_those_of_the_series_in_order(findings, chest_series):
    assert findings.source_instances == chest_series.sop_instance_uids
    assert all(region.mask.shape == chest_series.pixel_array.shape for region in findings.regions)


def test_the_algorithm_names_every_setting_and_no_weights(findings):
    assert findings.algorithm.weights_sha256 is None
    assert findings.algorithm.parameters["lung_mask"].startswith("classical")
    assert set(CARD.parameters) < set(findings.algorithm.parameters)


def test_codes_fit_dicom(findings):
    for measurement in (*findings.measurements, *(m for region in findings.regions for m in region.measurements)):
        assert len(measurement.concept.value) <= 16
        assert len(measurement.concept.meaning) <= 64
        assert np.isfinite(measurement.value)


def test_the_phantom_series_is_accepted(chest_series, tmp_path):
    assert LungDensitometry(tmp_path).accepts(chest_series) is None


def test_coronal_reformats_are_refused(chest, tmp_path):
    coronal = load(write(tmp_path, coronal_reformat(chest, every=8)))
    assert LungDensitometry(tmp_path).accepts(coronal).code == "not-axial"


def test_thick_slices_are_refused(chest_series, tmp_path):
    assert LungDensitometry(tmp_path).accepts(with_header(chest_series, SliceThickness="8")).code == "slice-thickness"


def test_half_a_chest_is_refused(chest_files, tmp_path):
    assert LungDensitometry(tmp_path).accepts(load(chest_files[:30])).code == "low-coverage"


def test_what_is_not_in_hounsfield_units_is_refused(chest_series, tmp_path):
    electron_density = with_header(chest_series, RescaleType="ED")
    assert LungDensitometry(tmp_path).accepts(electron_density).code == "not-hounsfield"


def test_no_lungs_end_the_run_with_the_refusal(chest_series, tmp_path):
    water = replace(chest_series, pixel_array=np.zeros_like(chest_series.pixel_array))
    with pytest.raises(SelectionRefusedError) as caught:
        LungDensitometry(tmp_path)(water, "cpu")
    assert caught.value.refusal.code == "no-lungs-found"


def test_what_shifts_the_numbers_is_said_beside_them(chest_series, tmp_path, monkeypatch):
    masks = ct_lungs.Lungs(right=np.zeros(chest_series.pixel_array.shape, bool), left=np.ones((1, 1, 1), bool))
    masks.right[30:40, 100:150, 50:100] = True
    same = replace(masks, left=np.roll(masks.right, 100, axis=2))
    monkeypatch.setattr(ct_lungs, "find_lungs", lambda *_, **__: same)
    odd = with_header(
        chest_series, ConvolutionKernel="LUNG", ContrastBolusAgent="IOMEPROL", PatientPosition="HFP", SliceThickness="5"
    )
    warnings = " ".join(LungDensitometry(tmp_path)(odd, "cpu").warnings)
    for word in ("Sharp kernel LUNG", "Contrast", "position HFP", "5 mm", "Classical"):
        assert word in warnings


@pytest.fixture
def r231(tmp_path, monkeypatch):
    """Random weights stand in for R231 here, and nowhere else; its last layer is set to say "no lung"."""
    import torch
    from lungmask.mask import UNet

    torch.manual_seed(0)
    network = UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    state = network.state_dict()
    state["last.weight"].zero_()
    state["last.bias"].copy_(torch.tensor([1.0, 0.0, 0.0]))
    slot = manifest.SLOTS[ct_lungs.R231]
    path = tmp_path / slot.file
    torch.save(state, path)
    digest = pins.of_file(path)
    pin = pins.Pin(kind=pins.PinKind.SHA256, value=digest.sha256)
    stand_in = slot.model_copy(update={"pin": pin, "size": digest.size})
    monkeypatch.setattr(manifest, "SLOTS", {slot.name: stand_in})
    return digest.sha256


def test_r231_runs_where_its_pinned_weights_are(r231, tmp_path, series_of):
    small = make_chest(slices=3, rows=64, columns=64, spacing_mm=(40.0, 5.6, 5.6))
    refusal = ct_lungs.find_lungs(series_of(small.hounsfield, small.spacing_mm), weights_folder=tmp_path, device="cpu")
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "R231 found 0 mL of right and 0 mL of left lung."


def test_r231_lungs_carry_the_hash_of_the_weights(r231, chest, chest_series, tmp_path, monkeypatch):
    from inference.networks.r231 import LungMask

    def truth(_network, hounsfield):
        assert hounsfield.dtype == np.int16
        return chest.right_lung.astype(np.uint8) + 2 * chest.left_lung.astype(np.uint8)

    monkeypatch.setattr(LungMask, "__call__", truth)
    findings = LungDensitometry(tmp_path)(chest_series, "cpu")
    assert findings.algorithm.weights_sha256 == r231
    assert findings.algorithm.parameters["lung_mask"] == "lungmask R231"
    np.testing.assert_array_equal(findings.regions[0].mask, chest.right_lung)


def test_wrong_r231_weights_stop_the_run(chest_series, tmp_path):
    (tmp_path / manifest.SLOTS[ct_lungs.R231].file).write_bytes(b"not R231")
    with pytest.raises(WrongWeightsError):
        LungDensitometry(tmp_path)(chest_series, "cpu")
