"""What is said of an image, in numbers, codes and words; decisions and lungs are made by hand."""

import numpy as np
import pytest

from inference.findings import Purpose
from inference.opacity_explain.decisions import Branch, Explained, Lung, Score, Side
from inference.opacity_explain.options import SETTINGS, options
from inference.opacity_explain.readout import Readout, warnings
from tests.radiographs import xray

SHAPE = (320, 288)
FIELDS = {Side.RIGHT: np.s_[100:200, 40:120], Side.LEFT: np.s_[100:200, 160:240]}
OPTIONS = options({name: setting.default for name, setting in SETTINGS.items()})


def score(mean: float, threshold: float) -> Score:
    return Score(each={"EfficientNet-B4": mean + 0.01, "ConvNeXt-tiny": mean - 0.01}, threshold=threshold)


def lung(side: Side, branch: Branch, extent: float | None = None, marked: tuple[slice, slice] | None = None) -> Lung:
    mask, opacity = np.zeros((2, *SHAPE), dtype=bool)
    if branch is not Branch.NOT_FOUND:
        mask[FIELDS[side]] = True
    if marked is not None:
        opacity[marked] = True
    said = None if extent is None else score(extent, 0.5)
    return Lung(side=side, mask=mask, branch=branch, extent=said, marked=opacity)


@pytest.fixture
def read(tmp_path):
    def make(opacity: float, *lungs: Lung):
        values = np.full(SHAPE, 0.25, dtype=np.float32)
        values[0, 0] = 0.75
        explained = Explained(opacity=score(opacity, 0.8), lungs=lungs, values=values, reach=0.04)
        source = xray(tmp_path, {"PixelSpacing": [0.5, 0.5], "PatientOrientation": ["R", "F"]})
        return Readout(radiograph=source, explained=explained, options=OPTIONS)

    return make


@pytest.fixture
def positive(read):
    return read(
        0.9,
        lung(Side.RIGHT, Branch.WHOLE, 0.7, FIELDS[Side.RIGHT]),
        lung(Side.LEFT, Branch.MAPPED, 0.125, np.s_[100:150, 160:240]),
    )


@pytest.fixture
def negative(read):
    return read(0.5, lung(Side.RIGHT, Branch.NONE), lung(Side.LEFT, Branch.NONE))


def numbers(measurements):
    return [(m.concept.meaning, pytest.approx(m.value, abs=1e-3)) for m in measurements]


def answers(readout):
    return [f"{answer.concept.meaning}: {answer.value.meaning}" for answer in readout.categories()]


def test_probability_and_extents_come_first_then_thresholds_and_each_network(positive):
    said = positive.measurements()
    assert numbers(said) == [
        ("Opacity probability", 90),
        ("Opacity extent, right lung", 70),
        ("Opacity extent, left lung", 12.5),
        ("Opacity probability, threshold", 80),
        ("Opacity extent, threshold", 50),
        ("Opacity probability, EfficientNet-B4", 91),
        ("Opacity probability, ConvNeXt-tiny", 89),
        ("Opacity extent, right lung, EfficientNet-B4", 71),
        ("Opacity extent, right lung, ConvNeXt-tiny", 69),
        ("Opacity extent, left lung, EfficientNet-B4", 13.5),
        ("Opacity extent, left lung, ConvNeXt-tiny", 11.5),
    ]
    assert positive.headlines == 3
    assert [m.site.location.meaning if m.site else None for m in said[:3]] == [None, "Right lung", "Left lung"]
    codes = [m.concept.value for m in said]
    assert len(set(codes)) == len(codes)
    assert max(map(len, codes)) <= 16  # PS3.5 6.2 SH


def test_of_a_negative_image_no_extent_is_told(negative):
    assert [name for name, _ in numbers(negative.measurements())] == [
        *("Opacity probability", "Opacity probability, threshold"),
        *("Opacity probability, EfficientNet-B4", "Opacity probability, ConvNeXt-tiny"),
    ]
    assert negative.headlines == 1


def test_the_branch_of_either_lung_is_a_coded_answer(positive, negative):
    assert answers(positive) == [
        *("Opacity: Positive", "Right lung: Whole lung marked", "Left lung: Mapped place by place"),
    ]
    assert answers(negative) == ["Opacity: Negative", "Right lung: Nothing marked", "Left lung: Nothing marked"]
    for readout in (positive, negative):
        assert all(len(answer.value.value) <= 16 for answer in readout.categories())


def test_every_decision_is_told_with_its_scores_and_threshold(positive, negative):
    assert positive.decisions() == {
        "decision_opacity": "EfficientNet-B4 0.9100, ConvNeXt-tiny 0.8900, mean 0.9000 >= 0.8: probable",
        "decision_right_lung": "EfficientNet-B4 0.7100, ConvNeXt-tiny 0.6900, mean 0.7000 >= 0.5: whole lung marked",
        "decision_left_lung": "EfficientNet-B4 0.1350, ConvNeXt-tiny 0.1150, mean 0.1250 < 0.5: mapped place by place",
        "decision_over_estimation": "mean extent 0.4125 >= 0.25: 0.04 of the image's longer side",
    }
    assert negative.decisions() == {
        "decision_opacity": "EfficientNet-B4 0.5100, ConvNeXt-tiny 0.4900, mean 0.5000 < 0.8: not probable",
        "decision_right_lung": "nothing marked",
        "decision_left_lung": "nothing marked",
    }


def test_a_reader_sees_why_in_words(positive, negative):
    assert list(warnings(positive, ())) == [
        "Opacity is probable: uncalibrated score 90 %, at or above the threshold of 80 %.",
        "Right lung: extent 70 %, at or above 50 %: all of it is marked.",
        "Left lung: extent 12.5 %, below 50 %: mapped place by place.",
        "The map is dilated by 4 % of the longer side (mean extent 41.2 %), outlines are not.",
    ]
    assert list(warnings(negative, ("no lung", "no chest"))) == [
        "No opacity is probable: uncalibrated score 50 %, below the threshold of 80 %. It excludes nothing.",
        "Hardly a frontal chest image, says lung-fields: no lung; no chest.",
        "The map's values, 10/255 in the lungs and 1/255 elsewhere, mark nothing.",
    ]


def test_what_was_not_found_or_not_reached_is_said(read):
    readout = read(0.9, lung(Side.RIGHT, Branch.NOT_FOUND), lung(Side.LEFT, Branch.MAPPED, 0.1))
    said = list(warnings(readout, ()))
    assert said[1] == "No right lung was found: opacity in it is neither judged nor marked."
    assert said[2].endswith("mapped place by place, none reached one half.")
    assert answers(readout)[1] == "Right lung: Lung not found"
    assert readout.headlines == 2
    regions = list(readout.regions())
    assert [region.label for region in regions] == ["opacity", "right lung", "left lung"]
    assert not regions[0].mask.any()
    shares = [[name for name, _ in numbers(region.measurements)] for region in regions]
    assert shares == [["Opacity, share of lung", "Area"], ["Area"], ["Opacity, share of lung", "Area"]]
    readout = read(0.1, lung(Side.RIGHT, Branch.NONE), lung(Side.LEFT, Branch.NOT_FOUND))
    assert list(warnings(readout, ()))[1] == "No left lung was found."


def test_regions_have_shares_and_areas_by_side_on_the_stored_pixels(positive):
    regions = {region.label: region for region in positive.regions()}
    assert list(regions) == ["right opacity", "left opacity", "right lung", "left lung"]
    assert numbers(regions["left opacity"].measurements) == [("Opacity, share of lung", 50), ("Area", 50 * 80 / 4)]
    assert numbers(regions["right lung"].measurements) == [("Opacity, share of lung", 100), ("Area", 100 * 80 / 4)]
    stored = regions["left opacity"].mask[0]
    assert np.array_equal(stored, positive.explained.lungs[1].marked[:, ::-1])
    assert regions["left opacity"].purpose is Purpose.OPACITY


def test_the_map_lies_on_the_stored_pixels(positive):
    heatmap = positive.heatmap()
    assert (heatmap.values.shape, heatmap.purpose) == ((1, *SHAPE), Purpose.OPACITY)
    assert np.argwhere(heatmap.values > 0.5).tolist() == [[0, 0, SHAPE[1] - 1]]
