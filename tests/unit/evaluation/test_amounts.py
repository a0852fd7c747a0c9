"""Shares against shares, counted by hand, and where the report says so."""

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.amounts import compare
from evaluation.intervals import Drawing
from evaluation.outputs import Outputs
from evaluation.report import report
from evaluation.rows import Row
from tests.unit.evaluation.test_report import made_up, rows


def test_shares_are_off_too_high_and_near_as_counted_by_hand():
    found = compare([0.0, 0.2, 0.5, 1.0], [0.1, 0.4, 0.35, 0.9], [1, 2, 3, 4], Drawing(resamples=50))
    assert found.error.value == pytest.approx((0.1 + 0.2 + 0.15 + 0.1) / 4)
    assert found.bias.value == pytest.approx((0.1 + 0.2 - 0.15 - 0.1) / 4)
    assert (found.near.value, found.near.images) == (pytest.approx(3 / 4), 4)


def test_the_report_says_how_far_shares_are_off_and_rows_keep_them():
    those = [replace(row, amount=0.25, found_amount=0.35) for row in list(rows(4))[:4]]
    record = made_up(those, outputs=Outputs())
    assert "Off by 10.0 % on average" in report(record, [], Path)
    assert record.plain()["results"]["amounts"]["bias"]["value"] == pytest.approx(0.1)
    assert Row.from_plain(those[0].plain()).found_amount == 0.35
    assert made_up(list(rows(4)), outputs=Outputs()).summary.amounts is None
