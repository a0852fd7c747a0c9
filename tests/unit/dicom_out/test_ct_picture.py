"""The contact sheet of a CT, looked at pixel by pixel and word by word."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_out.ct_picture import _spread, ct_picture
from dicom_out.legend import legend
from dicom_out.marks import marks
from dicom_out.views import WINDOW_CENTER, WINDOW_WIDTH, sheet, shown_slices
from inference.findings import Category, Measurement
from tests import factories
from tests.unit.dicom_out.conftest import a_run, check_layout

SIZE = 1024
LOW = WINDOW_CENTER - WINDOW_WIDTH / 2


def picture(series, found):
    run = a_run(series, found)
    return np.asarray(ct_picture(found, marks(found.regions, factories.STUDY), series, run, size=SIZE))


def panels(series, found):
    """Return the rooms of the panels in reading order: the overview, then the axial views."""
    drawn = marks(found.regions, factories.STUDY)
    height = SIZE - legend(found, drawn, a_run(series, found), width=SIZE, where=" x").height - 8
    whole = picture(series, found)[8 : 8 + height]
    return [
        whole[row * (height // 3) : (row + 1) * (height // 3), column * (SIZE // 3) : (column + 1) * (SIZE // 3)]
        for row in range(3)
        for column in range(3)
    ]


def coloured(array, rgb, tolerance=70):
    return np.abs(array.astype(int) - rgb).sum(axis=-1) < tolerance


def test_each_panel_shows_the_slice_that_it_names(drawn_words):
    series = factories.ct_series()
    levels = np.linspace(20, 220, 24).astype(int)
    volume = np.broadcast_to((LOW + (levels + 0.5) * WINDOW_WIDTH / 255)[:, None, None], series.pixel_array.shape)
    series = replace(series, pixel_array=volume.astype(np.float32))
    found = factories.findings(series)
    _, *axial = panels(series, found)
    slices = shown_slices(marks(found.regions, factories.STUDY), series)
    assert len(slices) == len(axial) == 8
    for panel, index in zip(axial, slices, strict=True):
        grays, counts = np.unique(panel[(np.ptp(panel, axis=-1) == 0) & (panel[..., 0] > 10)][:, 0], return_counts=True)
        assert abs(int(grays[counts.argmax()]) - levels[index]) <= 1
    named = [one.words for one in drawn_words if one.words.startswith("image ")]
    assert named[-8:] == [f"image {24 - index}, z {-50.3 + index * 7.5:.1f} mm" for index in slices]


def test_slices_are_shown_from_head_to_feet_also_where_the_stack_is_upside_down():
    series = factories.ct_series()
    down = replace(series.geometry, slice_direction=(0.0, 0.0, -1.0))
    drawn = marks(factories.findings(series).regions, factories.STUDY)
    assert list(shown_slices(drawn, series)) == sorted(shown_slices(drawn, series), reverse=True)
    turned = replace(series, geometry=down)
    assert list(shown_slices(drawn, turned)) == sorted(shown_slices(drawn, turned))


def test_lines_on_the_overview_lie_where_the_slices_are():
    series = factories.ct_series()
    shown = sheet(marks(factories.findings(series).regions, factories.STUDY), series)
    heights = [24 - 0.5 - view.index for view in shown.axial]
    offset = heights[0] - shown.rows[0]
    assert [height - offset for height in heights] == pytest.approx(shown.rows)
    assert 0 < shown.rows[0] < shown.rows[-1] < shown.coronal.plane.gray.shape[0]


@pytest.mark.parametrize(("direction", "sides"), [((1.0, 0.0, 0.0), ("R", "L")), ((-1.0, 0.0, 0.0), ("L", "R"))])
def test_letters_say_which_side_of_the_patient_is_where(direction, sides, drawn_words):
    series = factories.ct_series()
    series = replace(series, geometry=replace(series.geometry, row_direction=direction))
    picture(series, factories.findings(series))
    letters = [one for one in drawn_words if one.words in ("R", "L")]
    assert [one.words for one in letters] == list(sides) * 9
    assert all(one.box[0] < one.picture.width / 2 for one in letters[::2])
    assert all(one.box[0] > one.picture.width / 2 for one in letters[1::2])


def test_outlines_are_drawn_around_the_marked_part_and_nowhere_else():
    series = factories.ct_series(shape=(24, 96, 128), spacing_mm=(7.5, 2.5, 2.5))
    series = replace(series, pixel_array=np.full(series.pixel_array.shape, -800, dtype=np.int16))
    lung, opacity = np.zeros((2, *series.pixel_array.shape), dtype=bool)
    lung[:, 5:91, 5:123] = True
    opacity[12, 40:60, 20:50] = True
    regions = (
        factories.lung_region("lung", factories.RIGHT, lung, series),
        factories.opacity_region("opacity", opacity, series),
    )
    found = factories.findings(series, regions=regions)
    rgb = marks(regions, factories.STUDY)[1].rgb
    _, *axial = panels(series, found)
    index = shown_slices(marks(regions, factories.STUDY), series).index(12)
    assert [coloured(panel, rgb).any() for panel in axial] == [i == index for i in range(8)]
    rows, columns = np.nonzero(coloured(axial[index], rgb))
    outline = axial[index][..., 2] < 60  # black edges and orange lines; the lung itself is gray
    assert not outline[(rows.min() + 8) : (rows.max() - 8), (columns.min() + 8) : (columns.max() - 8)].any()
    scale = (columns.max() - columns.min()) / 30
    assert (rows.max() - rows.min()) / 20 == pytest.approx(scale, rel=0.06)
    centre = (columns.min() + columns.max()) / 2
    assert (centre - axial[index].shape[1] / 2) / scale == pytest.approx(35 - 64, abs=2)


def test_opacity_is_drawn_over_the_lungs_whatever_comes_first():
    series = factories.ct_series()
    found = factories.findings(series)
    plane = sheet(marks(found.regions[::-1], factories.STUDY), series).axial[4].plane
    opacity = marks(found.regions, factories.STUDY)[2].rgb
    colours = [outline.rgb for outline in plane.outlines]
    assert colours == sorted(colours, key=lambda rgb: rgb == opacity)


def test_the_opacity_and_where_most_of_it_is_are_told_in_words(drawn_words):
    series = factories.ct_series()
    found = factories.findings(series)
    picture(series, found)
    areas = marks(found.regions, factories.STUDY)[2].areas
    panel = 1 + shown_slices(marks(found.regions, factories.STUDY), series).index(int(areas.argmax()))
    expected = f"Opacity marked on {(areas > 0).sum()} of 24 slices, most of it on panel {panel} (framed)"
    assert expected in [one.words for one in drawn_words]


def test_that_there_is_no_opacity_is_told_in_words(drawn_words):
    series = factories.ct_series()
    right, left, opacity = factories.masks(series.pixel_array.shape)
    picture(series, factories.findings(series, (right, left, np.zeros_like(opacity))))
    assert "No opacity marked" in [one.words for one in drawn_words]


def test_that_opacity_was_not_looked_for_is_told_in_words(drawn_words):
    series = factories.ct_series()
    found = factories.findings(series)
    picture(series, replace(found, regions=found.regions[:2], categories=()))
    assert "Lungs outlined; opacity was not looked for" in [one.words for one in drawn_words]


def test_window_scale_model_version_weights_time_and_notice_are_in_the_picture(drawn_words):
    series = factories.ct_series()
    picture(series, factories.findings(series))
    words = [one.words for one in drawn_words]
    assert "C -600 W 1500, bars 3 cm" in words
    assert "lung-opacity-ct 1.2.0" in words
    assert "RESEARCH USE ONLY - not for diagnosis" in words
    assert any(one.startswith("weights abababab, 2026-11-2") for one in words)


def test_the_patient_is_not_in_the_words(drawn_words):
    series = factories.ct_series()
    picture(series, factories.findings(series))
    everything = " ".join(one.words for one in drawn_words)
    assert not [name for name in ("Phantom", "PH-1", "1970", "ACC17", "Refer", "10:11") if name in everything]


def test_a_scale_bar_is_as_long_as_it_says():
    series = factories.ct_series(shape=(24, 120, 120), spacing_mm=(7.5, 2.5, 2.5))
    series = replace(series, pixel_array=np.full(series.pixel_array.shape, -1400, dtype=np.int16))
    found = factories.findings(series, regions=(), measurements=(), categories=(), warnings=())
    height = panels(series, found)[1].shape[0]
    pixels_per_mm = (height - 27 - 4) / 300
    caption = panels(series, found)[1][-20:, -170:]
    runs = (caption == 255).all(axis=-1).sum(axis=1)
    assert runs.max() == pytest.approx(30 * pixels_per_mm, abs=4)


LONG = "a part of the chest with a name that is much longer than any line can hold at all"


@pytest.mark.parametrize("regions", [0, 1, 12])
@pytest.mark.parametrize("warnings", [(), ("Short.",), (LONG * 4, LONG, "Short.")])
def test_words_can_be_read_and_do_not_lie_on_each_other(regions, warnings, drawn_words):
    series = factories.ct_series(changes={"InstanceNumber": 1234})
    right, _, opacity = factories.masks(series.pixel_array.shape)
    many = [factories.lung_region(f"{LONG} {i}", factories.RIGHT, right, series) for i in range(regions)]
    many += [factories.opacity_region("opacity", opacity, series)]
    numbers = [
        Measurement(concept=replace_meaning(i), value=-12345.678 * 10**-i, unit=factories.PERCENT) for i in range(9)
    ]
    answer = Category(concept=factories.SEVERITY, value=factories.MODERATE, confidence=0.5)
    found = factories.findings(
        series, regions=tuple(many), measurements=tuple(numbers), warnings=warnings, categories=(answer,)
    )
    picture(series, found)
    check_layout(drawn_words)


def replace_meaning(index):
    return factories.OPACITY_PERCENTAGE._replace(value=f"{index}", meaning=f"{index} {LONG}")


@pytest.mark.parametrize("shape", [(10, 64, 64), (300, 32, 32), (12, 96, 256)])
def test_numbers_beside_the_overview_have_room_for_stacks_of_any_form(shape, drawn_words):
    series = factories.ct_series(shape=shape)
    picture(series, factories.findings(series))
    check_layout(drawn_words)


def test_numbers_keep_apart_and_off_the_upper_edge():
    places = _spread([3, 4, 5, 190], 200)
    assert places[0] >= 30
    assert min(np.diff(places)) >= 22
    assert places[-1] <= 190
