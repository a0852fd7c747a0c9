"""What the card says of the cost of bfloat16, and of the package, is what `make parity` measured."""

import json
from pathlib import Path

import pytest

from inference.pipelines.balaitous import CARD, EVIDENCE
from tests.parity.mutations import MUTATIONS

FOUND = json.loads((Path(__file__).parents[4] / EVIDENCE).read_text())
SAID = {number.measure: number for number in CARD.quality if number.source == EVIDENCE}


@pytest.mark.parametrize("score", ["COVID-19", "severe outcome"])
def test_the_cost_of_bfloat16_is_the_largest_that_was_measured(score):
    measured = FOUND["bfloat16 against float32"].values()
    assert float(SAID[f"cost of bfloat16, {score}"].value) == max(one[score] for one in measured) <= 0.005


def test_the_difference_from_the_package_is_the_largest_that_was_measured():
    measured = FOUND["whole networks"].values()
    assert float(SAID["difference from the package, float32"].value) == max(one["scores"] for one in measured)


def test_every_change_to_a_step_was_noticed_when_the_evidence_was_written():
    shown = FOUND["steps changed on purpose, and where that was noticed"]
    assert shown == {mutation.name: mutation.seen_at for mutation in MUTATIONS}
