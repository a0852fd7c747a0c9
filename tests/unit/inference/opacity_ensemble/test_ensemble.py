"""All steps in their order, with experts that say what they are told to; numbers worked out by hand."""

import numpy as np
import pytest

from inference.opacity_ensemble.ensemble import (
    CLASSIFIER,
    CONVNEXT,
    NNUNET_336,
    NNUNET_768,
    OPACITY,
    REFINE,
    RUNNING_ORDER,
    SEGMENTERS,
    blend,
    look,
)
from inference.opacity_ensemble.options import SETTINGS, options
from inference.opacity_ensemble.scores import Decision, image_score
from inference.opacity_ensemble.sides import by_side

SHAPE = (80, 120)
IMAGE = np.full(SHAPE, 0.25, dtype=np.float32)


def boxed(value: float, rows: slice, columns: slice) -> np.ndarray:
    values = np.zeros(SHAPE, dtype=np.float32)
    values[rows, columns] = value
    return values


def lungs() -> np.ndarray:
    return np.stack([boxed(1, slice(20, 70), slice(10, 50)), boxed(1, slice(20, 70), slice(70, 110))]).astype(bool)


def of_nine_tenths(crops):
    return [np.full(crop.shape, 0.9, dtype=np.float32) for crop in crops]


class Told:
    """Experts that say of every image what they were told; the refinement of every crop 0.9."""

    def __init__(self, score: float, *maps: np.ndarray, refine=of_nine_tenths) -> None:
        self.maps = dict(zip(SEGMENTERS, maps, strict=True))
        self.score = score
        self.refine = refine

    def classify(self, images):
        return [{"Effusion": 0.3, OPACITY: self.score} for _ in images]

    def segment(self, name, images):
        return [self.maps[name] for _ in images]


def seen_of(score: float, *maps: np.ndarray, **changes):
    (seen,) = look([IMAGE], Told(score, *maps, **changes), threshold=0.5)
    return seen


def chosen(**settings):
    return options({name: setting.default for name, setting in SETTINGS.items()} | settings)


CONVNEXT_MAP = boxed(0.8, slice(30, 50), slice(20, 40))
MAP_336 = boxed(0.6, slice(30, 50), slice(30, 40))
MAP_768 = boxed(0.4, slice(0, 80), slice(0, 120))


def test_the_mean_of_four_scores_decides():
    seen = seen_of(0.2, CONVNEXT_MAP, MAP_336, MAP_768)
    assert dict(seen.decision.scores) == pytest.approx(
        {CLASSIFIER: 0.2, CONVNEXT: 0.8, NNUNET_336: 0.6, NNUNET_768: 0.4}
    )
    assert seen.decision.mean == pytest.approx(0.5)
    assert seen_of(0.19, CONVNEXT_MAP, MAP_336, MAP_768).decision.is_positive is False


def test_a_mean_at_the_threshold_is_positive():
    assert Decision(scores={"a": 0.25, "b": 0.75}, threshold=0.5).is_positive
    assert not Decision(scores={"a": 0.25, "b": 0.75}, threshold=0.5001).is_positive


def test_the_score_of_a_map_is_its_maximum():
    assert image_score(np.array([[0.1, 0.7], [0.0, 0.2]], dtype=np.float32)) == pytest.approx(0.7)


def test_on_a_positive_image_the_joined_masks_are_cropped_and_refined():
    asked = []

    def refine(crops):
        asked.extend(crop.shape for crop in crops)
        return of_nine_tenths(crops)

    seen = seen_of(0.9, CONVNEXT_MAP, MAP_336, MAP_768, refine=refine)
    assert asked == [(30, 30)]  # 20 x 20 marked by either, 5 around it
    assert seen.maps[REFINE].sum() == pytest.approx(900 * 0.9, rel=1e-5)
    assert tuple(seen.maps) == RUNNING_ORDER


class OwnBrightness:
    """Experts that take an image's brightness for opacity; the refinement halves it."""

    def classify(self, images):
        return [{OPACITY: 1.0 if image.any() else 0.0} for image in images]

    def segment(self, name, images):
        assert name in SEGMENTERS
        return images

    def refine(self, crops):
        return [crop / 2 for crop in crops]


def test_several_images_get_what_is_theirs():
    small = np.zeros((50, 40), dtype=np.float32)
    small[10:20, 10:20] = 0.8
    images = [
        boxed(1, slice(5, 15), slice(5, 15)) + boxed(0.9, slice(50, 60), slice(90, 100)),
        np.zeros(SHAPE, dtype=np.float32),
        small,
    ]
    together = look(images, OwnBrightness(), threshold=0.5)
    assert [len(seen.crops.places) for seen in together] == [2, 0, 1]
    assert np.array_equal(together[0].maps[REFINE], images[0] / 2)
    assert REFINE not in together[1].maps
    assert np.array_equal(together[2].maps[REFINE], small / 2)


def test_on_a_negative_image_nothing_is_refined_and_the_map_is_nothing_but_floors():
    seen = seen_of(0.0, CONVNEXT_MAP, MAP_336, MAP_768, refine=lambda _: pytest.fail("refined"))
    assert REFINE not in seen.maps
    near = boxed(1, slice(17, 73), slice(7, 53)) + boxed(1, slice(17, 73), slice(67, 113)) > 0  # lungs, and 3 around
    for variant, inside, outside in (("zones-high", 0.1, 0.05), ("weighted", 0.1, 0.05), ("zones-low", 0.05, 0.0)):
        made = blend(seen, lungs(), chosen(variant=variant))
        assert np.array_equal(made.values, np.where(near, np.float32(inside), np.float32(outside)))
        assert not made.opacity.any()


@pytest.mark.parametrize(
    ("variant", "three", "two", "refined", "lung", "background"),
    [
        ("zones-high", 0.8, 0.6, 0.4, 0.3, 0.05),
        ("zones-low", 0.8, 0.6, 0.4, 0.15, 0.05),
        ("weighted", (0.8 + 0.6 + 0.4 + 0.9) / 4, (0.8 + 0.4 + 0.9) / 4, (0.4 + 0.9) / 4, 0.3, 0.05),
    ],
)
def test_the_map_of_a_positive_image_is_the_blend_where_it_is_above_the_floor(
    variant, three, two, refined, lung, background
):
    quiet = MAP_768.copy()
    quiet[:, :15] = quiet[:, 60:] = 0.0
    quiet[0, 0] = 0.4
    seen = seen_of(0.9, CONVNEXT_MAP, MAP_336, quiet)
    made = blend(seen, lungs(), chosen(variant=variant))
    assert made.values[40, 35] == pytest.approx(three)  # ConvNeXt, 336 and the refinement
    assert made.values[40, 25] == pytest.approx(two)  # ConvNeXt and the refinement
    assert made.values[26, 25] == pytest.approx(refined)  # the refinement's margin
    assert made.values[60, 90] == pytest.approx(lung)
    assert made.values[5, 60] == pytest.approx(background)
    assert np.array_equal(made.opacity, made.values >= 0.5)


def test_floors_can_be_the_lower_ones_for_a_second_run_of_the_weighted_variant():
    seen = seen_of(0.9, CONVNEXT_MAP, MAP_336, MAP_768 * 0)
    made = blend(seen, lungs(), chosen(variant="weighted", floors="low"))
    assert made.floor.lung == 0.15
    assert made.values[60, 90] == pytest.approx(0.15)


def test_opacity_within_a_lung_is_of_that_lung_and_outside_of_the_nearer_half():
    opacity = np.zeros(SHAPE, dtype=bool)
    opacity[5, 10] = opacity[5, 110] = opacity[30, 60] = opacity[30, 45] = True
    both = lungs()
    both[0, 25:35, 50:65] = True  # the right lung bulges over the middle
    right, left = by_side(opacity, both)
    assert np.argwhere(right).tolist() == [[5, 10], [30, 45], [30, 60]]
    assert np.argwhere(left).tolist() == [[5, 110]]


def test_opacity_is_not_split_where_a_lung_was_not_found():
    assert by_side(np.ones(SHAPE, dtype=bool), np.stack([lungs()[0], np.zeros(SHAPE, dtype=bool)])) is None
