"""Colours as the colour-blind see them.

References
----------
Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency, IEEE TVCG
2009: the matrices for severity 1. Sharma, Wu and Dalal, The CIEDE2000 Color-Difference Formula, 2005. WCAG 2.2, 1.4.3.
"""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from dicom_out import drawing
from dicom_out.colours import colours
from tests import factories

VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
PLAIN_TO_SEE, TO_BE_TOLD_APART = 16, 8


def linear(rgb):
    share = np.asarray(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def seen(rgb, vision):
    """Return CIELab of a colour as a kind of vision sees it."""
    mixed = (np.asarray(VISIONS[vision]) @ linear(rgb)).clip(0, 1)
    return rgb2lab(np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055))


def difference(one, other, vision):
    return float(deltaE_ciede2000(seen(one, vision), seen(other, vision)))


def palette(lungs, opacities):
    series = factories.ct_series()
    mask = np.zeros(series.pixel_array.shape, dtype=bool)
    regions = [factories.lung_region(f"lung {i}", factories.RIGHT, mask, series) for i in range(lungs)]
    regions += [factories.opacity_region(f"opacity {i}", mask, series) for i in range(opacities)]
    return colours(regions)


@pytest.mark.parametrize("vision", VISIONS)
def test_both_lungs_and_two_opacities_are_plainly_of_different_colours(vision):
    assert min(difference(a, b, vision) for a, b in combinations(palette(2, 2), 2)) > PLAIN_TO_SEE


@pytest.mark.parametrize("vision", VISIONS)
def test_all_colours_can_be_told_apart(vision):
    assert min(difference(a, b, vision) for a, b in combinations(palette(4, 4), 2)) > TO_BE_TOLD_APART


@pytest.mark.parametrize("vision", VISIONS)
def test_no_colour_is_taken_for_a_gray_of_the_image(vision):
    grays = [(level,) * 3 for level in range(0, 256, 8)]
    assert min(difference(rgb, gray, vision) for rgb in palette(4, 4) for gray in grays) > TO_BE_TOLD_APART


def test_a_palette_begins_anew_when_it_is_used_up():
    used = palette(9, 0)
    assert len(set(used)) == 4
    assert used[8] == used[0]


def test_regions_of_one_purpose_keep_their_colours_whatever_the_other_regions():
    assert palette(2, 1)[2] == palette(0, 1)[0]


def contrast(one, other):
    light, dark = sorted((float(linear(rgb) @ [0.2126, 0.7152, 0.0722]) for rgb in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", ["WHITE", "GRAY", "YELLOW"])
def test_text_stands_out_from_its_edge_and_ground(colour):
    assert contrast(getattr(drawing, colour), drawing.BLACK) >= 4.5


def test_outlines_stand_out_from_their_dark_edge():
    assert min(contrast(rgb, drawing.BLACK) for rgb in palette(4, 4)) >= 4.5
