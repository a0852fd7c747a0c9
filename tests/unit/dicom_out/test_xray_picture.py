"""The key image of a radiograph, looked at pixel by pixel and word by word."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.color import rgb2lab

from dicom_out.heat import _coloured
from dicom_out.legend import legend
from dicom_out.marks import marks
from dicom_out.xray_picture import xray_picture
from inference.coding import Code
from inference.findings import Heatmap, Purpose, Region
from inference.radiograph import load, synthetic_geometry
from phantom.cxr_dicom import turned
from tests import factories
from tests.radiographs import write_xray, xray, xray_findings
from tests.unit.dicom_out.conftest import a_run, check_layout

SIZE = 1024
ORIENTATIONS = [(row, column) for row in "LR" for column in "FH"] + [(row, column) for row in "FH" for column in "LR"]
NO_SPACING = {"PixelSpacing": None}


def picture(source, found):
    """Return the whole picture, and the part of it above the legend."""
    drawn = marks(found.regions, factories.STUDY)
    run = a_run(source, found)
    whole = np.asarray(xray_picture(found, drawn, source, run, size=SIZE))
    return whole, whole[: SIZE - legend(found, drawn, run, width=SIZE).height]


def coloured(array, rgb, tolerance=70):
    return np.abs(array.astype(int) - rgb).sum(axis=-1) < tolerance


def a_chest(folder, orientation=("L", "F"), shape=(300, 240), changes=None):
    """Return a dark image with a bright block on the patient's right, above, and that block as its only region."""
    pixels, block = np.full(shape, 300, dtype=np.uint16), np.zeros(shape, dtype=bool)
    block[60:120, 30:70] = True
    pixels[block] = 3000
    states = {"PatientOrientation": list(orientation) if orientation else None, **(changes or {})}
    source = load(write_xray(folder / "turned.dcm", turned(pixels, orientation), states))
    return source, a_region(source, turned(block, orientation))


def a_region(source, mask):
    region = Region(
        label="opacity",
        purpose=Purpose.OPACITY,
        property_category=factories.ABNORMAL,
        property_type=factories.OPACITY,
        mask=np.ascontiguousarray(mask)[np.newaxis],
    )
    return replace(xray_findings(source), regions=(region,), heatmaps=(), measurements=())


def a_map(source, mask, unit="1"):
    return Heatmap(
        label="opacity probability",
        quantity=Code("1", "99OPNODE", "Opacity probability"),
        unit=Code(unit, "UCUM", "unit"),
        values=mask.astype(np.float32)[np.newaxis],
        grid=source.geometry,
        purpose=Purpose.OPACITY,
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids="\\".join)
def test_however_it_is_stored_it_stands_upright_with_the_right_on_the_left(orientation, tmp_path):
    _, expected = picture(*a_chest(tmp_path))
    _, shown = picture(*a_chest(tmp_path, orientation))
    above_caption = slice(0, -40)
    assert np.array_equal(shown[above_caption], expected[above_caption])
    rows, columns = np.nonzero(coloured(shown, (240, 150, 0)))
    height, width = shown.shape[:2]
    assert columns.max() < width / 2
    assert rows.max() < height / 2


def test_sides_are_named_on_their_sides(tmp_path, drawn_words):
    picture(*a_chest(tmp_path, ("R", "F")))
    right, left = [one for one in drawn_words if one.words in "RL"]
    assert (right.words, left.words) == ("R", "L")
    assert right.box[2] < SIZE / 2 < left.box[0]
    assert "PA, turned upright" in [one.words for one in drawn_words]


def test_sides_that_the_image_does_not_state_are_in_doubt(tmp_path, drawn_words):
    picture(*a_chest(tmp_path, None))
    assert [one.words for one in drawn_words if one.words[0] in "RL" and len(one.words) < 3] == ["R?", "L?"]


def test_the_outline_lies_around_the_marked_part(tmp_path):
    _, shown = picture(*a_chest(tmp_path))
    bright = (shown > 200).all(axis=-1) & (np.arange(SIZE) > 300)
    rows, columns = np.nonzero(coloured(shown, (240, 150, 0)))
    inside = shown[rows.min() + 6 : rows.max() - 5, columns.min() + 6 : columns.max() - 5]
    assert (inside.min(axis=(0, 1)) > 240).all()
    outside = shown[rows.min() - 9, columns.min() : columns.max()]
    assert outside.max() < 40
    assert bright.any()


def test_a_single_pixel_of_a_large_image_can_be_seen(tmp_path):
    source = xray(tmp_path, shape=(3000, 2400))
    mask = np.zeros((3000, 2400), dtype=bool)
    mask[1500, 600] = True
    _, shown = picture(source, a_region(source, mask))
    rows, columns = np.nonzero(coloured(shown, (240, 150, 0), tolerance=120))
    assert len(rows) > 8
    assert max(np.ptp(rows), np.ptp(columns)) < 12


@pytest.mark.parametrize(("spacing", "orientation"), [([0.4, 0.8], ("L", "F")), ([0.8, 0.4], ("F", "L"))])
def test_pixels_that_are_not_square_keep_their_aspect(spacing, orientation, tmp_path):
    source, found = a_chest(tmp_path, orientation, changes={"PixelSpacing": spacing})
    _, shown = picture(source, found)
    rows, columns = np.nonzero(coloured(shown, (240, 150, 0)))
    # 60 x 40 pixels of 0.4 x 0.8 mm, upright
    assert (np.ptp(columns) - 2) / (np.ptp(rows) - 2) == pytest.approx(32 / 24, rel=0.03)


def test_the_aspect_of_pixels_without_a_size_is_kept(tmp_path):
    source, found = a_chest(tmp_path, changes={"PixelSpacing": None, "PixelAspectRatio": [1, 2]})
    _, shown = picture(source, found)
    rows, columns = np.nonzero(coloured(shown, (240, 150, 0)))
    assert (np.ptp(columns) - 2) / (np.ptp(rows) - 2) == pytest.approx(80 / 60, rel=0.03)


def test_a_scale_bar_says_where_it_is_right(tmp_path, drawn_words):
    picture(*a_chest(tmp_path))
    imager = {"ImagerPixelSpacing": [1.0, 1.0]}
    picture(*a_chest(tmp_path, changes=imager))
    picture(*a_chest(tmp_path, changes={**NO_SPACING, **imager}))
    picture(*a_chest(tmp_path, changes={"PixelSpacingCalibrationType": "FIDUCIAL"}))
    picture(*a_chest(tmp_path, changes=NO_SPACING))
    said = [one.words for one in drawn_words if "cm" in one.words or "scale" in one.words]
    detector, calibrated = "5 cm at the detector", "5 cm (calibrated)"
    assert said == [detector, calibrated, detector, calibrated, "PA, no scale"]


def test_the_scale_bar_is_five_centimetres_long(tmp_path):
    source, found = a_chest(tmp_path, shape=(300, 300), changes={"PixelSpacing": [1, 1]})
    _, shown = picture(source, found)
    pixels_per_mm = (np.ptp(np.nonzero(coloured(shown, (240, 150, 0)))[0]) - 2) / 60
    below = (shown[-40:] == 255).all(axis=-1).sum(axis=1)
    assert below.max() == pytest.approx(50 * pixels_per_mm, abs=8)


@pytest.mark.parametrize("shape", [(256, 256), (4000, 3000), (300, 900)])
def test_an_image_of_any_size_fills_the_picture(shape, tmp_path):
    source = xray(tmp_path, shape=shape)
    whole, shown = picture(source, xray_findings(source))
    assert whole.shape == (SIZE, SIZE, 3)
    assert not whole[:8].any()
    rows, columns = np.nonzero(shown[:-40].sum(axis=-1) > 60)
    assert max(np.ptp(rows) / (shown.shape[0] - 48), np.ptp(columns) / SIZE) > 0.9
    for mark in marks(xray_findings(source).regions, factories.STUDY):
        assert coloured(shown, mark.rgb).sum() > 500


def test_a_map_of_opacity_lies_beside_the_outlines_in_the_same_place(tmp_path, drawn_words):
    source, found = a_chest(tmp_path, ("F", "L"), changes={"PixelSpacing": [0.8, 0.4]})
    heatmap = a_map(source, found.regions[0].mask[0])
    _, shown = picture(source, replace(found, heatmaps=(heatmap,)))
    outlined, heated = shown[:, : SIZE // 2], shown[:, SIZE // 2 :]
    rows, columns = np.nonzero(coloured(outlined, (240, 150, 0)))
    yellow = (heated[..., 0].astype(int) - heated[..., 2] > 30)[: rows.max() + 60]
    heated_rows, heated_columns = np.nonzero(yellow)
    assert heated_rows.mean() == pytest.approx((rows.min() + rows.max()) / 2, abs=4)
    assert heated_columns.mean() == pytest.approx((columns.min() + columns.max()) / 2, abs=4)
    words = [one.words for one in drawn_words]
    assert words[words.index("opacity probability") + 1 :][:2] == ["0", "1"]
    assert words.count("R") == 2


def test_a_coarse_map_on_a_huge_image_lies_in_its_place(tmp_path):
    source = xray(tmp_path, shape=(3000, 2400))
    values = np.zeros((1, 30, 24), dtype=np.float32)
    values[0, 6:12, 15:18] = 1
    grid = synthetic_geometry((80.0, 80.0))
    grid = replace(grid, origin_mm=(39.6, 39.6, 0.0))
    heatmap = replace(a_map(source, np.zeros((1, 1))), values=values, grid=grid)
    _, shown = picture(source, replace(xray_findings(source), regions=(), heatmaps=(heatmap,)))
    heated = shown[:, SIZE // 2 :].astype(int)
    scale = (SIZE / 2 - 8) / 2400
    middle = (shown.shape[0] - 24) / 2
    rows, columns = np.nonzero(
        (heated[..., 0] - heated[..., 2] > 30) & (np.abs(np.arange(shown.shape[0]) - middle) < 1500 * scale)[:, None]
    )
    assert (rows.mean() - middle) / scale + 1500 == pytest.approx(900, abs=20)
    assert (columns.mean() - SIZE / 4) / scale + 1200 == pytest.approx(1650, abs=20)
    assert np.ptp(rows) / scale == pytest.approx(600, abs=120)
    assert np.ptp(columns) / scale == pytest.approx(300, abs=120)


def test_a_map_of_lungs_is_not_shown_as_if_it_were_opacity(tmp_path):
    source, found = a_chest(tmp_path)
    lungs = replace(a_map(source, found.regions[0].mask[0]), purpose=None)
    assert np.array_equal(picture(source, replace(found, heatmaps=(lungs,)))[0], picture(source, found)[0])


def test_colours_of_a_map_grow_brighter_with_its_values():
    lightness = rgb2lab(_coloured(np.linspace(0, 1, 200, dtype=np.float32)[np.newaxis]))[0, :, 0]
    assert np.diff(lightness).min() > -0.2  # 8 bits a colour
    assert lightness[-1] - lightness[0] > 80


@pytest.mark.parametrize("shape", [(320, 288), (300, 900), (900, 300)])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_words_can_be_read_and_do_not_lie_on_each_other(shape, is_mapped, tmp_path, drawn_words):
    source = xray(tmp_path, shape=shape)
    found = xray_findings(source)
    heatmap = replace(a_map(source, found.regions[0].mask[0], "%"), label="a map with a name that is far too long")
    picture(source, replace(found, heatmaps=(heatmap,) if is_mapped else (), warnings=("A warning.",)))
    check_layout(drawn_words)
    assert "! A warning." in [one.words for one in drawn_words]


def test_lungs_alone_say_that_opacity_was_not_looked_for(tmp_path, drawn_words):
    source = xray(tmp_path)
    picture(source, xray_findings(source))
    assert "Lungs outlined; opacity was not looked for" in [one.words for one in drawn_words]
