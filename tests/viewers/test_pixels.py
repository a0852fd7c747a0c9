"""The judge of the viewer tests: it sees what is in its place, and what is not."""

import numpy as np
import pytest

from tests.factories import ellipsoid
from tests.viewers import pixels
from tests.viewers.pixels import Placement

SHAPE = (440, 600)
BLUE, GREEN = (86, 180, 233), (0, 190, 140)
PLACEMENT = Placement.through([(0, 0), (127, 0), (0, 127)], [(81.6, 21.6), (487.9, 21.6), (81.6, 428.0)])


@pytest.fixture(scope="module")
def masks():
    """Two lungs that change from slice to slice, as lungs do."""
    shape = (40, 128, 128)
    return (
        ellipsoid(shape, (0.35, 0.5, 0.3), (0.3, 0.3, 0.15)),
        ellipsoid(shape, (0.35, 0.5, 0.7), (0.3, 0.25, 0.12)),
    )


def image(seed=1):
    """Return a grey image with something to recognise."""
    random = np.random.default_rng(seed)
    return np.kron(random.integers(0, 256, (32, 32)), np.ones((4, 4))).astype(np.uint8)


def picture_of(*overlays, opacity=0.5):
    """Return what a viewer shows of the image with masks in colours over it."""
    picture = np.repeat(PLACEMENT.draw(image(), SHAPE)[..., None], 3, axis=2).astype(float)
    for mask, rgb in overlays:
        where = PLACEMENT.draw(mask, SHAPE)
        picture[where] += opacity * (np.array(rgb) - picture[where])
    return picture.astype(np.uint8)


def on_place(picture, mask, rgb):
    return pixels.dice(pixels.of_hue(picture, rgb), PLACEMENT.draw(mask, SHAPE))


def test_an_overlay_in_its_place_and_colour_is_seen_as_that(masks):
    right, left = (mask[14] for mask in masks)
    picture = picture_of((right, BLUE), (left, GREEN))
    assert on_place(picture, right, BLUE) > 0.99
    assert on_place(picture, left, GREEN) > 0.99


def test_an_overlay_20_pixels_off_is_not_in_its_place(masks):
    right = masks[0][14]
    assert on_place(picture_of((np.roll(right, 20, axis=1), BLUE)), right, BLUE) < 0.6
    assert on_place(picture_of((np.roll(right, 2, axis=1), BLUE)), right, BLUE) < 0.97


def test_lungs_in_each_others_colours_are_not_in_their_places(masks):
    right, left = (mask[14] for mask in masks)
    picture = picture_of((right, GREEN), (left, BLUE))
    assert on_place(picture, right, BLUE) < 0.01
    assert on_place(picture, left, GREEN) < 0.01


def test_an_overlay_mirrored_in_z_is_not_in_its_place(masks):
    right = masks[0]
    shown = [picture_of((plane, BLUE)) for plane in right[::-4]]
    assert [i for i, plane in enumerate(right[3::4]) if on_place(shown[i], plane, BLUE) > 0.97] == []


def test_an_overlay_that_is_not_drawn_is_not_in_its_place(masks):
    assert on_place(picture_of(), masks[0][14], BLUE) == 0


def test_a_dashed_line_along_the_border_is_near_it_and_one_20_pixels_off_is_not(masks):
    mask = masks[0][14]
    border = PLACEMENT.place(pixels.border(mask))
    assert share_of(border, border) > 0.97
    assert share_of(border + np.array([20 * PLACEMENT.scale, 0]), border) < 0.6


def share_of(line, border):
    """Return the share of a border that is near a line drawn in dashes."""
    x, y = (line - line.mean(axis=0)).T
    dashes = line[np.sin(60 * np.arctan2(y, x)) > 0].astype(int)
    drawn = np.zeros(SHAPE, dtype=bool)
    drawn[dashes[:, 1], dashes[:, 0]] = True
    return pixels.share_near(drawn, border, tolerance=PLACEMENT.scale + 2)


def test_an_image_is_like_itself_and_not_like_another_or_itself_shifted():
    shown, within = picture_of(), PLACEMENT.draw(np.ones((128, 128), bool), SHAPE)
    assert pixels.likeness(shown, PLACEMENT.draw(image(), SHAPE), within) > 0.99
    assert pixels.likeness(shown, PLACEMENT.draw(np.roll(image(), 3, axis=1), SHAPE), within) < 0.6
    assert pixels.likeness(shown, PLACEMENT.draw(image(seed=2), SHAPE), within) < 0.3
    assert pixels.likeness(np.zeros_like(shown), PLACEMENT.draw(image(), SHAPE), within) == 0


def test_grey_has_no_hue_and_a_colour_keeps_its_own_when_blended():
    grey = np.full((2, 2, 3), 130, dtype=np.uint8)
    assert not pixels.coloured(grey).any()
    blended = (0.4 * np.array(GREEN) + 0.6 * grey).astype(np.uint8)
    assert pixels.of_hue(blended, GREEN).all()
    assert not pixels.of_hue(blended, BLUE).any()
