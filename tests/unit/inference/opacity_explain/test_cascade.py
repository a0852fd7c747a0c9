"""All decisions in their order, with networks that say what they are told to; numbers worked out by hand."""

import numpy as np
import pytest

from inference.opacity_explain.cascade import explain
from inference.opacity_explain.decisions import SIDES, Branch, Score, Side
from inference.opacity_explain.maps import HIGHEST, LOWEST, OUTSIDE
from inference.opacity_explain.options import SETTINGS, options
from inference.opacity_explain.views import LUNG, WHOLE, lung_view, whole_view

SHAPE = (200, 400)
IMAGE = np.linspace(0, 1, 200 * 400, dtype=np.float32).reshape(SHAPE)
FIELDS = {Side.RIGHT: np.s_[50:150, 60:160], Side.LEFT: np.s_[50:150, 240:340]}
"""Lungs, on the image; each box has a margin of 5."""
NOTHING = np.zeros(WHOLE, dtype=np.float32)


def on_grid(*places, value=1.0) -> np.ndarray:
    """Draw places of the image on the grid of the whole image."""
    grid = NOTHING.copy()
    for rows, columns in places:
        scaled = [
            slice(round(place.start * 512 / length), round(place.stop * 512 / length))
            for place, length in zip((rows, columns), SHAPE, strict=True)
        ]
        grid[tuple(scaled)] = value
    return grid


class Told:
    """Networks that say of every image what they were told, and remember what they were asked."""

    def __init__(self, opacity=(0.9, 0.8), right=(0.2, 0.3), left=(0.1, 0.2), lungs=SIDES, maps=None):
        self.scores = {None: opacity, Side.RIGHT: right, Side.LEFT: left}
        self.outlines = np.stack([on_grid(FIELDS[side]) if side in lungs else NOTHING for side in SIDES])
        self.maps = maps or {}
        self.asked = []

    def classify(self, views):
        return self._scored(None, views)

    def outline(self, views):
        self.asked.append(("lungs", len(views)))
        return [self.outlines for _ in views]

    def measure(self, side, views):
        return self._scored(side, views)

    def map(self, side, seen):
        self.asked.append((f"map {side or 'whole'}", seen))
        return [self.maps.get(side, np.zeros((8, 8), dtype=np.float32)) for _ in seen]

    def _scored(self, side, views):
        self.asked.append((side or "classify", views))
        return [(dict(zip(("one", "other"), self.scores[side], strict=True)), side or "whole") for _ in views]


def chosen(**settings):
    return options({name: setting.default for name, setting in SETTINGS.items()} | settings)


def explained(told, **settings):
    (found,) = explain([IMAGE], told, chosen(**settings))
    return found


def names(told):
    return [name for name, _ in told.asked]


def lungs():
    mask = np.zeros(SHAPE, dtype=bool)
    for field in FIELDS.values():
        mask[field] = True
    return mask


def test_below_the_classifiers_threshold_nothing_more_is_asked_and_the_map_is_nothing_but_its_limits():
    told = Told(opacity=(0.9, 0.69))
    found = explained(told)
    assert names(told) == ["classify", "lungs"]
    assert found.opacity.mean == pytest.approx(0.795)
    assert [(lung.branch, lung.extent) for lung in found.lungs] == [(Branch.NONE, None)] * 2
    assert np.array_equal(found.values, np.where(lungs(), LOWEST, OUTSIDE))
    assert not any(lung.marked.any() for lung in found.lungs)
    assert found.mean_extent is None


def test_a_mean_at_its_threshold_reaches_it():
    assert Score(each={"a": 0.25, "b": 0.75}, threshold=0.5).is_reached
    assert not Score(each={"a": 0.25, "b": 0.75}, threshold=0.5001).is_reached


def test_networks_look_at_the_whole_image_and_at_each_lung_by_itself():
    told = Told()
    explained(told)
    asked = dict(told.asked)
    assert np.array_equal(asked["classify"][0], whole_view(IMAGE))
    assert asked["right"][0].shape == asked["left"][0].shape == LUNG
    assert np.array_equal(asked["right"][0], lung_view(IMAGE, np.s_[45:155, 55:165]))
    assert np.array_equal(asked["left"][0], lung_view(IMAGE, np.s_[45:155, 235:345]))
    assert names(told) == ["classify", "lungs", "right", "left", "map right", "map left", "map whole"]
    assert asked["map right"] == [Side.RIGHT]  # of what the regressor of that side saw
    assert asked["map left"] == [Side.LEFT]
    assert asked["map whole"] == ["whole"]  # of what the classifier saw


def test_from_the_extents_threshold_on_all_of_a_lung_is_marked_and_it_is_not_mapped():
    told = Told(right=(0.4, 0.6), left=(0.3, 0.69))
    found = explained(told)
    right, left = found.lungs
    assert (right.branch, left.branch) == (Branch.WHOLE, Branch.MAPPED)
    assert names(told)[4:] == ["map left", "map whole"]
    assert np.array_equal(right.marked, right.mask)
    assert (found.values[right.mask] == HIGHEST).all()
    assert (found.values[left.mask] == LOWEST).all()
    told = Told(right=(0.5, 0.5), left=(0.9, 0.9))
    found = explained(told)
    assert names(told)[4:] == []  # not even the whole image
    assert np.array_equal(found.values, np.where(lungs(), HIGHEST, OUTSIDE))


SPOT = np.s_[90:110, 100:120]
"""In the right lung."""


def test_the_map_of_a_lung_is_blended_with_that_of_the_whole_image_on_the_lung_and_on_it_alone():
    own = np.full((256, 160), 0.9, dtype=np.float32)
    whole = on_grid(SPOT, np.s_[90:110, 190:210], value=0.9)  # the latter between the lungs
    found = explained(Told(maps={Side.RIGHT: own, None: whole}), over_estimation=(0.0, 0.0), lung_map_weight=0.4)
    right, left = found.lungs
    assert found.values[100, 110] == pytest.approx(0.9)
    assert found.values[60, 70] == pytest.approx(0.4 * 0.9)
    assert found.values[100, 200] == OUTSIDE
    assert (found.values[left.mask] == LOWEST).all()
    spot = np.zeros(SHAPE, dtype=bool)
    spot[SPOT] = True
    assert (right.marked ^ spot).sum() < 90  # an edge of one pixel
    assert np.array_equal(right.marked, (found.values >= 0.5) & right.mask)


@pytest.mark.parametrize(("extent", "reach"), [(0.1, 8), (0.249, 8), (0.25, 16), (0.29, 16)])
def test_the_map_is_over_estimated_on_two_levels_by_the_mean_extent_and_regions_are_not(extent, reach):
    maps = {Side.RIGHT: np.full((8, 8), 0.9, dtype=np.float32), None: on_grid(SPOT)}
    told = Told(right=(0.0, 0.2), left=(2 * extent - 0.1,) * 2, maps=maps)
    found, exact = explained(told, over_estimation=(0.02, 0.04)), explained(told, over_estimation=(0.0, 0.0))
    level, where = np.argwhere(found.values > 0.9), np.argwhere(exact.values > 0.9)
    assert (where.min(axis=0) - level.min(axis=0)).tolist() == [reach, reach]
    assert (level.max(axis=0) - where.max(axis=0)).tolist() == [reach, reach]
    assert np.array_equal(found.lungs[0].marked, exact.lungs[0].marked)
    assert 400 <= found.lungs[0].marked.sum() < 500
    assert found.reach == (0.04 if extent >= 0.25 else 0.02)
    assert found.mean_extent == pytest.approx(extent)


def test_dilation_neither_leaves_a_lung_nor_comes_from_outside_it():
    beside = np.s_[90:110, 160:175]  # beside the right lung, between both
    edge = np.s_[90:110, 150:160]  # its own edge
    ones = {side: np.ones((8, 8), dtype=np.float32) for side in SIDES}
    found = explained(Told(maps={None: on_grid(beside), **ones}), lung_map_weight=0.0)
    assert (found.values[lungs()] < 0.6).all()  # but for the soft edge of what was drawn
    found = explained(Told(maps={None: on_grid(edge), **ones}), lung_map_weight=0.0)
    assert found.values[100, 143] > 0.9
    assert np.array_equal(found.values == OUTSIDE, ~lungs())


def test_opacity_of_one_lung_is_not_dilated_into_the_other():
    touching = {Side.RIGHT: np.s_[50:150, 60:200], Side.LEFT: np.s_[50:150, 200:340]}
    told = Told(right=(0.9, 0.9), left=(0.0, 0.0))
    told.outlines = np.stack([on_grid(touching[side]) for side in SIDES])
    found = explained(told, over_estimation=(0.05, 0.05))
    assert (found.values[touching[Side.RIGHT]] == HIGHEST).all()
    assert (found.values[touching[Side.LEFT]] == LOWEST).all()


@pytest.mark.parametrize("missing", SIDES)
def test_a_lung_that_was_not_found_is_not_asked_about_and_the_other_one_is(missing):
    other = next(side for side in SIDES if side is not missing)
    told = Told(right=(0.6, 0.6), left=(0.6, 0.6), lungs=(other,))
    found = explained(told)
    assert names(told) == ["classify", "lungs", other]
    by_side = {lung.side: lung for lung in found.lungs}
    assert (by_side[missing].branch, by_side[other].branch) == (Branch.NOT_FOUND, Branch.WHOLE)
    assert not by_side[missing].mask.any()
    assert found.mean_extent == pytest.approx(0.6)
    assert np.array_equal(found.values, np.where(by_side[other].mask, HIGHEST, OUTSIDE))


def test_without_any_lung_nothing_is_marked():
    found = explained(Told(lungs=()))
    assert (found.values == OUTSIDE).all()
    assert [lung.branch for lung in found.lungs] == [Branch.NOT_FOUND] * 2
    assert found.mean_extent is None


class ByBrightness(Told):
    """Networks that take an image's brightness for everything."""

    def _scored(self, side, views):
        self.asked.append((side or "classify", len(views)))
        return [({"one": float(view.mean() + 1) / 2}, float(view.mean() + 1) / 2) for view in views]

    def map(self, _, seen):
        return [np.full((8, 8), value, dtype=np.float32) for value in seen]


def test_several_images_get_what_is_theirs():
    sizes = [(200, 400), (300, 200), (200, 400)]
    greys = (0.9, 0.1, 0.6)
    images = [np.full(size, grey, dtype=np.float32) for size, grey in zip(sizes, greys, strict=True)]
    told = ByBrightness()
    found = explain(images, told, chosen(threshold=0.5, extent_threshold=0.7))
    assert told.asked == [("classify", 3), ("lungs", 3), ("right", 2), ("left", 2)]
    assert [one.opacity.mean for one in found] == pytest.approx(greys)
    assert [one.lungs[0].branch for one in found] == [Branch.WHOLE, Branch.NONE, Branch.MAPPED]
    assert [one.values.shape for one in found] == sizes
    assert [one.values.max() for one in found] == pytest.approx([HIGHEST, LOWEST, 0.6])
    assert explain([], told, chosen()) == []
