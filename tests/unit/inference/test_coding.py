"""Coded concepts."""

from inference.coding import Code


def test_codes_are_the_same_if_they_stand_for_the_same_concept_whatever_its_words():
    assert Code("%", "UCUM", "%") == Code("%", "UCUM", "percent")
    assert len({Code("%", "UCUM", "%"), Code("%", "UCUM", "percent")}) == 1
    assert (Code("%", "UCUM", "%") != Code("%", "UCUM", "percent")) is False


def test_codes_of_two_schemes_and_plain_tuples_are_not_the_same():
    assert Code("1", "UCUM", "no units") != Code("1", "DCM", "no units")
    assert Code("1", "UCUM", "no units") != ("1", "UCUM", "no units")
