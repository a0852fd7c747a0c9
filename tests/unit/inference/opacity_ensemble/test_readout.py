"""What is said of an image, and of what was not found on it; lungs and maps are drawn by hand."""

import numpy as np
import pytest

from inference.findings import Purpose
from inference.opacity_ensemble.crops import Crops
from inference.opacity_ensemble.ensemble import CLASSIFIER, OPACITY, SEGMENTERS, Blended, Seen
from inference.opacity_ensemble.floors import HIGH
from inference.opacity_ensemble.readout import Readout, warnings
from inference.opacity_ensemble.scores import Decision
from tests.radiographs import xray

SHAPE = (320, 288)
RIGHT, LEFT = np.s_[100:200, 40:120], np.s_[100:200, 160:240]
WHOLE = (slice(0, 320), slice(0, 288))


def drawn(*places: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


@pytest.fixture
def read(tmp_path):
    def make(opacity, right, left, *, score=0.9, crops=None, spacing=None):
        decision = Decision(scores=dict.fromkeys((CLASSIFIER, *SEGMENTERS), score), threshold=0.5)
        values = np.where(opacity, np.float32(0.8), np.float32(0.05))
        return Readout(
            radiograph=xray(tmp_path, {"PixelSpacing": spacing, "PatientOrientation": ["R", "F"]}),
            seen=Seen(findings={OPACITY: score, "Mass": 0.2}, decision=decision, maps={}, crops=crops or Crops()),
            blended=Blended(values=values, opacity=opacity, floor=HIGH.of(positive=score >= 0.5)),
            lungs=np.stack([right, left]),
        )

    return make


def numbers(region):
    return {measurement.concept.meaning: measurement.value for measurement in region.measurements}


def said(readout, *, doubts=(), known=WHOLE):
    return list(warnings(readout, doubts=doubts, known=known))


def test_shares_and_areas_are_counted_by_side_and_what_lies_beside_a_lung_counts_as_lung(read):
    opacity = drawn(np.s_[100:150, 40:120], np.s_[200:220, 40:120])  # half of the right lung, and a fifth below it
    regions = {r.label: r for r in read(opacity, drawn(RIGHT), drawn(LEFT), spacing=[0.5, 0.5]).regions()}
    assert list(regions) == ["right opacity", "right lung", "left lung"]
    assert numbers(regions["right opacity"]) == pytest.approx(
        {"Opacity, share of lung": 100 * 70 / 120, "Area": 70 * 80 / 4}, abs=1e-4
    )
    assert numbers(regions["left lung"]) == {"Opacity, share of lung": 0.0, "Area": 100 * 80 / 4}
    assert np.array_equal(regions["right opacity"].mask[0], opacity[:, ::-1])  # as the pixels are stored


def test_without_opacity_one_region_that_marks_nothing_says_so(read):
    regions = list(read(drawn(), drawn(RIGHT), drawn(LEFT), score=0.1).regions())
    assert [region.label for region in regions] == ["opacity", "right lung", "left lung"]
    assert not regions[0].mask.any()
    assert numbers(regions[0]) == {"Opacity, share of lung": 0.0}


@pytest.mark.parametrize("opacity", [drawn(np.s_[100:150, 40:120]), drawn()], ids=["some", "none"])
def test_where_a_lung_was_not_found_opacity_is_whole_and_nobody_is_told_a_share_of_lungs(read, opacity):
    readout = read(opacity, drawn(), drawn(LEFT), spacing=[0.5, 0.5])
    regions = list(readout.regions())
    assert [region.label for region in regions] == ["opacity", "right lung", "left lung"]
    assert np.array_equal(regions[0].mask[0], opacity[:, ::-1])
    assert numbers(regions[0]) == {"Area": opacity.sum() / 4}
    assert all("share" not in name for region in regions for name in numbers(region))
    assert any("No right lung was found: opacity is not split by side" in warning for warning in said(readout))


def test_nothing_but_a_decision_is_said_where_neither_lung_nor_pixel_size_is_known(read):
    readout = read(drawn(RIGHT), drawn(), drawn())
    assert [region.measurements for region in readout.regions()] == [(), (), ()]
    assert any("No right and no left lung was found" in warning for warning in said(readout))
    assert {region.purpose for region in readout.regions()} == {Purpose.OPACITY, Purpose.LUNGS}


@pytest.mark.parametrize(
    ("opacity", "score", "verdict"),
    [
        (
            drawn(RIGHT),
            0.9,
            "Positive: the mean of four uncalibrated scores is 90 %, at or above the threshold of 50 %.",
        ),
        (drawn(), 0.5, "but no place reached a probability of one half."),
        (drawn(), 0.49, "Negative: the mean of four uncalibrated scores is 49 %, below the threshold of 50 %. Nothing"),
    ],
    ids=["positive", "nowhere", "negative"],
)
def test_the_verdict_comes_first_and_names_score_and_threshold(read, opacity, score, verdict):
    assert verdict in said(read(opacity, drawn(RIGHT), drawn(LEFT), score=score))[0]


def test_a_reader_is_told_what_was_not_seen_refined_or_frontal(read):
    crops = Crops(places=(np.s_[0:10, 0:10],) * 16, left_out=3)
    told = said(
        read(drawn(RIGHT), drawn(RIGHT), drawn(LEFT), crops=crops),
        doubts=("no lung", "no chest"),
        known=(slice(16, 304), slice(0, 288)),
    )
    assert told[1] == "Hardly a frontal chest image, says lung-fields: no lung; no chest."
    assert told[2] == "Of all marked places the 16 largest were refined, and 3 were not."
    assert told[3] == "The map's floor, 0.3 in and around the lungs and 0.05 elsewhere, marks nothing."
    assert told[4] == "DenseNet-121 and the lung network saw the square in the middle, 90 % of the image."


def test_scores_are_in_percent_the_mean_first_and_opacity_once(read):
    found = [(m.concept.meaning, m.value) for m in read(drawn(), drawn(RIGHT), drawn(LEFT), score=0.25).measurements()]
    assert found[0] == ("Opacity probability", 25.0)
    assert [name for name, _ in found[1:5]] == [
        *("Opacity score, DenseNet-121", "Opacity score, ConvNeXt"),
        *("Opacity score, nnU-Net 336", "Opacity score, nnU-Net 768"),
    ]
    assert found[5:] == [("Opacity probability, threshold", 50.0), ("DenseNet-121 score, Mass", 20.0)]
