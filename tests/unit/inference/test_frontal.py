import numpy as np
import pytest

from inference.frontal import LEAST, frontal_check
from inference.lung_masks import lung_masks
from tests.unit.inference.test_lung_masks import found

RIGHT, LEFT = np.s_[50:200, 40:105], np.s_[55:205, 150:215]


def check(right, left):
    one = found(right, left)
    one.values[one.values > 0.5] = 0.94
    return frontal_check(one, lung_masks(one))


def test_two_lungs_beside_each_other_are_those_of_a_frontal_image():
    checked = check([RIGHT], [LEFT])
    assert checked.is_frontal
    assert checked.doubts == ()
    assert checked.smaller_share == pytest.approx(150 * 65 / 256**2)
    assert checked.ratio == pytest.approx(1)
    assert checked.side_by_side == pytest.approx(145 / 155)
    assert checked.apart == pytest.approx(110 / 175)
    assert checked.tallness == pytest.approx(150 / 65)
    assert checked.wholeness == pytest.approx(1)
    assert checked.confidence == pytest.approx(0.99, abs=0.01)


@pytest.mark.parametrize(
    ("right", "left", "why"),
    [
        ([], [], "no right and no left lung was found"),
        ([RIGHT], [], "no left lung was found"),
        ([np.s_[50:80, 40:60]], [LEFT], "a lung covers 0.9% of the image"),
        ([np.s_[50:120, 70:100]], [LEFT], "of the other's area"),
        ([np.s_[20:120, 60:125]], [np.s_[130:230, 130:195]], "of the rows with lung have both"),
        ([LEFT], [RIGHT], "their common width apart"),
        ([np.s_[100:150, 20:120]], [np.s_[100:150, 130:230]], "times as tall as wide"),
        (
            [np.s_[50:125, 20:120], np.s_[125:200, 95:120]],
            [np.s_[50:125, 136:236], np.s_[125:200, 136:161]],
            "lower half",
        ),
        ([RIGHT, np.s_[210:250, 20:120]], [LEFT, np.s_[5:45, 130:230]], "lies in two pieces"),
    ],
)
def test_lungs_that_are_none_of_a_frontal_image_are_doubted_in_words(right, left, why):
    checked = check(right, left)
    assert not checked.is_frontal
    assert why in "; ".join(checked.doubts)


def test_lungs_that_the_network_is_not_sure_of_are_doubted():
    one = found([RIGHT], [LEFT])
    one.values[one.values > 0.5] = 0.6
    (doubt,) = frontal_check(one, lung_masks(one)).doubts
    assert "sure of it by 65%" in doubt


def test_every_limit_has_a_number_of_its_own():
    assert set(LEAST) == set(check([RIGHT], [LEFT]).__slots__) - {"doubts"}
