"""The pipeline on the synthetic chest X-ray, whose lungs are known, and on real ones."""

from collections.abc import Sequence

import numpy as np
import pytest

from inference import radiograph, registry
from inference.findings import Findings, Refusal, SelectionRefusedError
from inference.pipelines.lung_fields import CARD
from phantom.cxr import RadiographPhantom, make_radiograph
from tests.radiographs import write_xray

DEVICE = "cpu"


@pytest.fixture(scope="module")
def phantom() -> RadiographPhantom:
    return make_radiograph(rows=640, columns=608, spacing_mm=0.6, seed=3)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return registry.load(CARD.name, weights=tmp_path_factory.mktemp("no-weights-of-a-site"))


@pytest.fixture
def find(pipeline, phantom, tmp_path):
    """Run the pipeline on the phantom's pixels, stored and described as asked for."""

    def run(pixels: np.ndarray | None = None, **changes) -> tuple[Findings, radiograph.Radiograph]:
        stored = phantom.pixels if pixels is None else pixels
        spacing = {"PixelSpacing": [phantom.pixel_spacing_mm] * 2}
        source = radiograph.load(write_xray(tmp_path / "xray.dcm", stored, {**spacing, **changes}))
        assert pipeline.accepts(source) is None
        return pipeline(source, DEVICE), source

    return run


def masks(findings: Findings) -> np.ndarray:
    return np.stack([region.mask[0] for region in findings.regions])


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def value(measurements: Sequence, meaning: str) -> float:
    (number,) = [m.value for m in measurements if m.concept.meaning == meaning]
    return number


def test_both_lungs_are_found_on_the_sides_where_they_are(find, phantom):
    findings, _ = find()
    assert [region.label for region in findings.regions] == ["right lung", "left lung"]
    assert dice(findings.regions[0].mask[0], phantom.right_lung) > 0.85
    assert dice(findings.regions[1].mask[0], phantom.left_lung) > 0.85


def test_areas_are_those_of_the_masks_in_mm2(find, phantom):
    findings, _ = find()
    for region in findings.regions:
        assert value(region.measurements, "Area") == pytest.approx(region.mask.sum() * phantom.pixel_spacing_mm**2)
    both = sum(value(region.measurements, "Area") for region in findings.regions)
    assert value(findings.measurements, "Area") == pytest.approx(both)
    assert value(findings.measurements, "Share of the image") == pytest.approx(200 * masks(findings).mean())
    shares = [value(region.measurements, "Share of both lung fields") for region in findings.regions]
    assert sum(shares) == pytest.approx(100)


def test_without_a_pixel_size_there_are_shares_and_a_warning_instead_of_areas(find):
    findings, _ = find(PixelSpacing=None)
    names = {m.concept.meaning for region in findings.regions for m in region.measurements}
    assert names == {"Share of both lung fields"}
    assert any("size of a pixel is not known" in warning for warning in findings.warnings)


@pytest.mark.parametrize("spacing_mm", [0.15, 2.4])
def test_lungs_of_an_impossible_size_are_warned_about(find, spacing_mm):
    warnings = find(PixelSpacing=[spacing_mm] * 2)[0].warnings
    assert any("which no adult's do" in warning for warning in warnings)


def test_an_image_that_does_not_say_how_it_lies_is_warned_about(find):
    assert not any("Patient Orientation" in warning for warning in find()[0].warnings)
    assert any("Patient Orientation is absent" in warning for warning in find(PatientOrientation=None)[0].warnings)


@pytest.mark.parametrize(
    ("orientation", "store"),
    [
        (["R", "F"], lambda a: a[:, ::-1]),
        (["L", "H"], lambda a: a[::-1]),
        (["R", "H"], lambda a: a[::-1, ::-1]),
        (["F", "L"], lambda a: a.T),
        (["H", "R"], lambda a: a[::-1, ::-1].T),
    ],
    ids=["R-F", "L-H", "R-H", "F-L", "H-R"],
)
def test_the_same_pixels_are_marked_however_the_image_is_stored(find, phantom, orientation, store):
    upright, _ = find()
    turned, source = find(np.ascontiguousarray(store(phantom.pixels)), PatientOrientation=orientation)
    expected = np.stack([store(mask) for mask in masks(upright)])
    assert np.array_equal(masks(turned), expected)
    assert hottest_is_lung(turned, source)


def hottest_is_lung(findings: Findings, source) -> bool:
    """Say whether the places where the map is surest lie in the masks."""
    (heatmap,) = findings.heatmaps
    rows, columns = np.nonzero(heatmap.values[0] > 0.99)
    (x, y, _), (_, rows_mm, columns_mm) = heatmap.grid.origin_mm, heatmap.grid.spacing_mm
    _, image_rows_mm, image_columns_mm = source.geometry.spacing_mm
    across = np.rint((x + columns * columns_mm) / image_columns_mm).astype(int)
    down = np.rint((y + rows * rows_mm) / image_rows_mm).astype(int)
    return len(rows) > 100 and bool(masks(findings).any(axis=0)[down, across].all())


def test_the_map_of_probability_lies_on_the_lungs(find):
    assert hottest_is_lung(*find())


def test_monochrome1_gives_the_same_masks(find, phantom):
    inverted = (4095 - phantom.pixels.astype(np.int32)).clip(0).astype(np.uint16)
    assert np.array_equal(masks(find(inverted, PhotometricInterpretation="MONOCHROME1")[0]), masks(find()[0]))


def test_the_same_image_gives_the_same_masks(find):
    assert np.array_equal(masks(find()[0]), masks(find()[0]))


def test_the_result_names_the_weights(find):
    assert len(find()[0].algorithm.weights_sha256 or "") == 64


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pixels: np.ascontiguousarray(pixels.T),
        lambda pixels: np.random.default_rng(1).integers(0, 4096, pixels.shape).astype(np.uint16),
        lambda pixels: np.ascontiguousarray(pixels[: pixels.shape[0] // 2, : pixels.shape[1] // 2]),
    ],
    ids=["lying on its side", "noise", "a corner of it"],
)
def test_what_is_not_a_frontal_chest_image_is_refused_with_what_was_measured(find, phantom, spoil):
    with pytest.raises(SelectionRefusedError, match="Not a frontal chest image") as caught:
        find(spoil(phantom.pixels))
    assert caught.value.refusal.code == "not-frontal-chest"
    assert caught.value.refusal.remedy


@pytest.mark.parametrize(
    ("pixels", "code"),
    [(np.ones((200, 300), dtype=np.uint16), "image-too-small"), (np.ones((300, 300), dtype=np.uint16), "empty-image")],
)
def test_an_image_that_is_too_small_or_shows_nothing_is_refused(pipeline, tmp_path, pixels, code):
    refusal = pipeline.accepts(radiograph.load(write_xray(tmp_path / "xray.dcm", pixels)))
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def test_real_frontal_images_show_two_lungs(pipeline, real_xrays):
    for path in real_xrays:
        if "mono1" in path.name:
            continue  # relabelled without being inverted: a negative
        findings = pipeline(radiograph.load(path), DEVICE)
        right, left = (float(mask.mean()) for mask in masks(findings))
        assert 0.08 < left <= right * 1.5 < 0.5
