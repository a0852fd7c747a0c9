from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from inference import selected
from inference.findings import SelectionRefusedError
from inference.pipelines.lung_fields import CARD
from inference.radiograph import load
from tests import encodings
from tests.radiographs import chest_pixels, write_xray


def ramp(bits: int = 12, shape: tuple[int, int] = (40, 64)) -> np.ndarray:
    return np.linspace(0, 2**bits - 1, shape[0] * shape[1]).astype(np.uint16).reshape(shape)


def loaded(tmp_path: Path, pixels: np.ndarray | None = None, **changes):
    return load(write_xray(tmp_path / "xray.dcm", ramp() if pixels is None else pixels, changes))


@contextmanager
def raw_values():
    """Let malformed values be written, and read as they stand, as a worker does."""
    before = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
    try:
        yield
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = before


def lut(values: list[int], first: int = 0, bits: int = 8) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return item


def test_values_run_from_black_to_white(tmp_path):
    found = loaded(tmp_path)
    assert found.pixel_array.shape == (1, 40, 64)
    assert found.pixel_array.dtype == np.float32
    assert np.allclose(found.pixel_array[0], ramp() / 4095, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_number_of_bits_does_not_matter(tmp_path, bits):
    found = loaded(tmp_path, ramp(bits), BitsStored=bits, HighBit=bits - 1)
    assert np.allclose(found.pixel_array[0], np.linspace(0, 1, 40 * 64).reshape(40, 64), atol=1.01 / (2**bits - 1))


def test_monochrome1_is_inverted_so_that_bright_is_dense(tmp_path):
    usual = loaded(tmp_path).pixel_array
    assert np.allclose(loaded(tmp_path, 4095 - ramp(), PhotometricInterpretation="MONOCHROME1").pixel_array, usual)


def test_a_window_cuts_off_what_it_does_not_show(tmp_path):
    shown = loaded(tmp_path, WindowCenter=1024, WindowWidth=1024).pixel_array[0]
    assert np.all(shown[ramp() <= 511] == 0)
    assert np.all(shown[ramp() >= 1536] == 1)
    assert shown.ravel()[np.searchsorted(ramp().ravel(), 1024)] == pytest.approx(0.5, abs=0.01)


def test_a_voi_lut_is_applied_and_comes_before_a_window(tmp_path):
    table = lut([255 - v for v in range(256)], first=0)
    found = loaded(tmp_path, ramp(8), BitsStored=8, HighBit=7, VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    assert np.allclose(found.pixel_array[0], 1 - ramp(8) / 255, atol=1e-6)


def test_a_modality_lut_is_applied(tmp_path):
    table = lut([int(255 * (v / 255) ** 2) for v in range(256)])
    table.ModalityLUTType = "US"
    found = loaded(tmp_path, ramp(8), BitsStored=8, HighBit=7, ModalityLUTSequence=[table])
    assert np.allclose(found.pixel_array[0], (ramp(8) / 255) ** 2, atol=0.005)


def test_a_negative_rescale_slope_turns_the_grays(tmp_path):
    found = loaded(tmp_path, RescaleSlope=-1, RescaleIntercept=4095, RescaleType="US")
    assert np.allclose(found.pixel_array[0], 1 - ramp() / 4095, atol=1e-6)


@pytest.mark.parametrize(
    "window",
    [{"WindowCenter": 90000, "WindowWidth": 10}, {"WindowCenter": -5, "WindowWidth": 1}],
    ids=["above", "below"],
)
def test_a_window_that_shows_nothing_is_left_out_and_told(tmp_path, window):
    found = loaded(tmp_path, **window)
    assert found.is_window_ignored
    assert np.allclose(found.pixel_array[0], ramp() / 4095, atol=1e-6)


def test_a_malformed_window_does_not_hide_the_image(tmp_path):
    assert np.allclose(loaded(tmp_path, WindowCenter=100, WindowWidth=0).pixel_array[0], ramp() / 4095, atol=1e-6)


def test_pixel_padding_is_black_and_does_not_count(tmp_path):
    pixels = ramp() // 2 + 100
    pixels[:, :5] = 4095
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        changes = {"PixelPaddingValue": 4095, "PhotometricInterpretation": photometric}
        shown = loaded(tmp_path, pixels, **changes).pixel_array[0]
        assert np.all(shown[:, :5] == 0)
        assert (shown[:, 5:].min(), shown[:, 5:].max()) == (0, 1)


@pytest.mark.parametrize("encoding", encodings.LOSSLESS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_lossless_transfer_syntax_gives_the_same_image(tmp_path, encoding, photometric):
    changes = {"RescaleSlope": 2, "RescaleIntercept": -7, "RescaleType": "US", "PhotometricInterpretation": photometric}
    native = write_xray(tmp_path / "xray.dcm", chest_pixels((64, 48)), changes)
    encoded = encodings.encode(native, encoding, tmp_path / f"{encoding}.dcm")
    assert np.array_equal(load(encoded).pixel_array, load(native).pixel_array)


def test_spacing_is_taken_from_wherever_it_stands(tmp_path):
    own = loaded(tmp_path, PixelSpacing=[0.2, 0.3])
    assert (own.geometry.spacing_mm, own.has_pixel_spacing) == ((1.0, 0.2, 0.3), True)
    assert own.pixel_area_mm2 == pytest.approx(0.06)
    detector = loaded(tmp_path, PixelSpacing=None, ImagerPixelSpacing=[0.14, 0.14])
    assert (detector.geometry.spacing_mm, detector.has_pixel_spacing) == ((1.0, 0.14, 0.14), False)
    assert detector.is_spacing_known
    none = loaded(tmp_path, PixelSpacing=None, PixelAspectRatio=[3, 2])
    assert none.geometry.spacing_mm == (1.0, 1.5, 1.0)
    assert none.pixel_area_mm2 is None


@pytest.mark.parametrize("spacing", [[0, 0], [-1, 1], [900, 900], [0.2, 0.2, 0.2]])
def test_impossible_spacing_counts_as_none(tmp_path, spacing):
    found = loaded(tmp_path, PixelSpacing=spacing)
    assert not found.is_spacing_known
    assert found.geometry.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PatientOrientation": ["P", "F"]}, "not-frontal"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not-grayscale"),
        ({"NumberOfFrames": 3}, "multi-frame"),
        ({"Rows": 50}, "undecodable-pixel-data"),
    ],
)
def test_what_is_no_single_frontal_gray_image_is_refused(tmp_path, changes, code):
    with pytest.raises(SelectionRefusedError) as caught:
        loaded(tmp_path, **changes)
    assert caught.value.refusal.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"RescaleSlope": "2", "RescaleIntercept": ""},
        {"RescaleSlope": "", "RescaleIntercept": "1"},
        {"RescaleSlope": ["1", "2"], "RescaleIntercept": "0"},
        {"RescaleSlope": "nan", "RescaleIntercept": "0"},
        {"RescaleSlope": "inf", "RescaleIntercept": "0"},
        {"ModalityLUTSequence": [Dataset()]},
    ],
    ids=str,
)
def test_a_modality_transform_that_cannot_be_applied_is_refused_with_its_remedy(tmp_path, changes):
    with raw_values(), pytest.raises(SelectionRefusedError, match="Rescale Slope") as caught:
        loaded(tmp_path, **changes)
    assert caught.value.refusal.code == "no-rescale"
    assert "(0028,1052)" in caught.value.refusal.remedy


def test_an_empty_slope_and_intercept_count_as_none(tmp_path):
    with raw_values():
        assert np.allclose(loaded(tmp_path, RescaleSlope="", RescaleIntercept="").pixel_array[0], ramp() / 4095)


@pytest.mark.parametrize(
    "changes",
    [
        {"NumberOfFrames": ["1", "1"]},
        {"PixelSpacing": "0.2"},
        {"PhotometricInterpretation": "monochrome2"},
        {"PixelPaddingValue": []},
    ],
    ids=str,
)
def test_malformed_attributes_that_do_not_matter_are_passed_over(tmp_path, changes):
    with raw_values():
        assert np.allclose(loaded(tmp_path, **changes).pixel_array[0], ramp() / 4095, atol=1e-6)


def test_a_size_that_is_no_number_is_refused(tmp_path):
    path = write_xray(tmp_path / "xray.dcm", ramp())
    dataset = dcmread(path)
    dataset["Rows"].value = [40, 40]
    dataset.save_as(path)
    with pytest.raises(SelectionRefusedError, match="no size"):
        load(path)


def test_the_real_images_can_be_read(real_xrays):
    for path in real_xrays:
        found = load(path)
        assert found.pixel_array.shape == (1, 1024, 1024)
        assert 0.1 < found.pixel_array.mean() < 0.9


@pytest.mark.parametrize("count", [0, 2])
def test_anything_but_one_file_is_refused(tmp_path, count):
    path = write_xray(tmp_path / "xray.dcm", ramp())
    with pytest.raises(SelectionRefusedError, match="one X-ray image"):
        selected.load(CARD, [path] * count)
