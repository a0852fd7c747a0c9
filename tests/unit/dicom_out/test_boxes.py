"""Boxes on the key image and in the report: where they are, what is said of them, and that words do not cover words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_out.box_marks import box_tracking_uid
from dicom_out.build import build
from dicom_out.colours import box_colours
from dicom_out.xray_picture import xray_picture
from inference.coding import Code
from inference.findings import Box
from inference.radiograph import load
from phantom.cxr_dicom import turned
from tests import factories
from tests.radiographs import write_xray, xray, xray_findings
from tests.unit.dicom_out.conftest import a_context, a_run, check_layout

SIZE = 1024
ORANGE = (240, 150, 0)
TYPICAL, ATYPICAL = (Code(word.upper(), "99OPNODE", f"{word} appearance") for word in ("Typical", "Atypical"))


def a_box(left, top, right, bottom, certainty=0.9, finding=TYPICAL, number=1):
    return Box(
        label=f"box {number}", finding=finding, left=left, top=top, right=right, bottom=bottom, certainty=certainty
    )


def boxed(source, *boxes):
    return replace(xray_findings(source), regions=(), heatmaps=(), measurements=(), boxes=boxes)


def picture(source, found):
    return xray_picture(found, (), source, a_run(source, found), size=SIZE)


def coloured(image, rgb, tolerance=70):
    return np.abs(np.asarray(image).astype(int) - rgb).sum(axis=-1) < tolerance


def a_chest(folder, orientation):
    """Return an image with a bright block, and findings with a box round it."""
    pixels, block = np.full((300, 240), 300, dtype=np.uint16), np.zeros((300, 240), dtype=bool)
    block[60:120, 30:70] = True
    pixels[block] = 3000
    path = write_xray(folder / "x.dcm", turned(pixels, orientation), {"PatientOrientation": list(orientation)})
    rows, columns = np.nonzero(turned(block, orientation))
    source = load(path)
    return source, boxed(source, a_box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))


@pytest.mark.parametrize("orientation", [("R", "F"), ("F", "L"), ("H", "R")], ids="\\".join)
def test_a_box_is_drawn_where_it_is_however_the_image_is_stored(orientation, tmp_path):
    expected = np.asarray(picture(*a_chest(tmp_path, ("L", "F"))))[:500]
    assert np.array_equal(np.asarray(picture(*a_chest(tmp_path, orientation)))[:500], expected)


def test_the_line_runs_along_the_edges_of_a_box(tmp_path):
    shown = np.asarray(picture(*a_chest(tmp_path, ("L", "F"))))[:500]
    rows, columns = np.nonzero((shown > 200).all(axis=-1) & (np.arange(SIZE) < SIZE / 2))  # the block
    across = shown[int(np.median(rows))].astype(int)
    lines = np.flatnonzero(coloured(across, ORANGE, tolerance=150))
    inner = columns[rows == int(np.median(rows))]
    assert lines.min() == pytest.approx(inner.min(), abs=4)
    assert lines.max() == pytest.approx(inner.max(), abs=4)


def test_class_and_certainty_stand_at_the_box_and_nothing_is_called_a_probability(tmp_path, drawn_words):
    source = xray(tmp_path)
    picture(source, boxed(source, a_box(40, 60, 120, 160, 0.874), a_box(160, 60, 250, 160, 0.5, ATYPICAL, 2)))
    words = [one.words for one in drawn_words]
    assert {"Typical 87 %", "Atypical 50 %", "2 boxes drawn"} <= set(words)
    assert not [text for text in words if "robab" in text]


def test_without_a_box_the_picture_says_so(tmp_path, drawn_words):
    source = xray(tmp_path)
    picture(source, boxed(source))
    assert "No box drawn" in [one.words for one in drawn_words]


edges = st.tuples(st.floats(0, 250), st.floats(0, 280), st.floats(10, 288), st.floats(10, 320))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(places=st.lists(edges, min_size=1, max_size=3))
def test_words_at_boxes_stay_on_the_picture_and_off_each_other(tmp_path, drawn_words, places):
    drawn_words.clear()
    source = xray(tmp_path)
    boxes = [
        a_box(left, top, min(288, left + right), min(320, top + bottom), number=number)
        for number, (left, top, right, bottom) in enumerate(places, start=1)
    ]
    picture(source, boxed(source, *boxes))
    check_layout(drawn_words)


def test_boxes_of_one_class_have_one_colour():
    first, second, third = box_colours([a_box(0, 0, 9, 9), a_box(0, 0, 9, 9, finding=ATYPICAL), a_box(1, 1, 5, 5)])
    assert first == third != second


def test_another_box_has_another_tracking_uid_and_the_same_keeps_its_own(tmp_path):
    source = xray(tmp_path)
    run = a_run(source, boxed(source))
    box = a_box(1, 2, 30, 40)
    assert box_tracking_uid(box, run) == box_tracking_uid(replace(box, label="box 2", certainty=0.1), run)
    others = [replace(box, left=1.5), replace(box, finding=ATYPICAL)]
    assert len({box_tracking_uid(one, run) for one in (box, *others)}) == 3


def test_boxes_on_ct_are_not_written():
    series = factories.ct_series()
    with pytest.raises(ValueError, match="radiograph"):
        build(replace(factories.findings(series), boxes=(a_box(1, 1, 5, 5),)), series, a_context())
