"""Levels against levels, counted by hand."""

import pytest

from evaluation.levels import compare


def test_levels_are_counted_by_truth_and_by_what_was_said():
    found = compare([1, 2, 3, 5], [1, 3, 3, 3])
    assert found.names == (1, 2, 3, 5)
    assert found.confusion == ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 1, 0))
    assert found.exact.value == pytest.approx(2 / 4)
    assert found.within_one.value == pytest.approx(3 / 4)


def test_kappa_weighs_distances_by_their_squares():
    # the squares are 0, 0, 1; by chance, each truth with each answer: 0 1 1, 1 0 0, 4 1 1, of which a third
    truth, said = [1, 2, 3], [1, 2, 2]
    by_chance = sum((one - other) ** 2 for one in truth for other in said) / 3
    assert compare(truth, said).kappa == pytest.approx(1 - 1 / by_chance)


def test_one_level_alone_has_no_kappa():
    assert compare([2, 2], [2, 2]).kappa is None
