"""Every card says all that must be known before its numbers are read, and where each number comes from."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.card import Quality, TrainingData, lacks
from inference.pipelines import lung_densitometry
from inference.registry import CARDS
from inference.training_record import cross_validation, training_data
from inference.weights.manifest import SLOTS

ROOT = Path(__file__).parents[3]
WHOLE = lung_densitometry.CARD
NUMBER = Quality(measure="Dice", value="0.9", on="ten images", source="a paper")
CC_BY = TrainingData(name="X-rays", images=3, licence="CC BY 4.0", source="somewhere", attribution="Somebody, 2020")


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_every_registered_card_is_whole_and_every_number_has_a_source(card):
    assert lacks(card) == []


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_every_file_that_a_card_names_as_source_is_there(card):
    sources = [number.source.split()[0] for number in card.quality] + [data.source for data in card.training_data]
    files = [source for source in sources if source.split("/")[0] in {"tests", "inference", "docs", "training"}]
    assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_card_names_the_slots_that_the_manifest_has_for_it_and_no_others(card):
    wanted = {name for name, slot in SLOTS.items() if card.name in (*slot.required_by, *slot.optional_for)}
    assert set(card.weights) == wanted


def test_a_pipeline_whose_weights_are_trained_here_says_on_what_and_how_well():
    trained = [card for card in CARDS.values() if any(SLOTS[name].shipped for name in card.weights)]
    assert [card.name for card in trained if not (card.training_data and card.quality)] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purpose": ""}, "purpose is empty"),
        ({"limits": ()}, "limits is empty"),
        ({"training": ""}, "training is empty"),
        ({"quality": (replace(NUMBER, source=""),)}, "quality 'Dice': no source"),
        ({"quality": (replace(NUMBER, on=""),)}, "quality 'Dice': no on"),
        ({"training_data": (replace(CC_BY, licence=""),)}, "training data 'X-rays': no licence"),
        (
            {"training_data": (replace(CC_BY, attribution=""),)},
            "training data 'X-rays': CC BY 4.0 asks for an attribution",
        ),
        ({"output": "Masks, Dice 0.93."}, "a number without a source: 'Masks, Dice 0.93.'"),
        ({"limits": ("Sensitivity is 80 %.",)}, "a number without a source: 'Sensitivity is 80 %.'"),
    ],
)
def test_what_a_card_lacks_is_named(changes, said):
    assert lacks(replace(WHOLE, **changes)) == [said]


def test_a_whole_card_lacks_nothing():
    assert lacks(replace(WHOLE, quality=(NUMBER,), training_data=(CC_BY,))) == []


def test_the_numbers_on_the_card_of_lung_densitometry_are_those_of_the_synthetic_chest(chest, chest_series, tmp_path):
    findings = lung_densitometry.LungDensitometry(tmp_path)(chest_series, "cpu")
    truth = {"right lung": chest.right_lung, "left lung": chest.left_lung, "opacity": chest.opacity}
    said = {number.measure.removeprefix("Dice, "): number.value for number in WHOLE.quality}
    assert said.keys() == truth.keys()
    for region in findings.regions:
        planted = truth[region.label]
        dice = 2 * np.count_nonzero(region.mask & planted) / (region.mask.sum() + planted.sum())
        assert dice == pytest.approx(float(said[region.label]), abs=0.001)


@pytest.fixture
def shipped(tmp_path):
    def fold(**changes):
        group = {"images": 2, "patients": 1, "mean": 0.9512, "right": 0.96, "left": 0.94}
        return {**group, "worst_image": {"id": "b", "mean": 0.91}, "by_view": {}, "by_finding": {}, **changes}

    record = {
        "unseen_patients": fold(images=3, patients=2, by_view={"PA": {"images": 1, "mean": 0.97}}),
        "folds": [fold(), fold(images=1, mean=0.93)],
        "by_image": [{"id": "a", "patient": "1"}, {"id": "b", "patient": "1"}, {"id": "c", "patient": "2"}],
        "trained_on": [
            {"origin": "https://images.example/x", "licence": "CC BY 3.0", "images": ["a", "b"]},
            {"origin": "https://images.example/y", "licence": "CC BY 4.0", "images": ["c"]},
        ],
    }
    (tmp_path / "net.json").write_text(json.dumps(record))
    return tmp_path


def test_the_numbers_of_shipped_weights_are_read_from_their_record(shipped):
    numbers = {number.measure: number for number in cross_validation("net", shipped)}
    assert {measure: number.value for measure, number in numbers.items()} == {
        "Dice, mean of both lungs": "0.951",
        "Dice, right lung": "0.960",
        "Dice, left lung": "0.940",
        "Dice, fold 1 of 2": "0.951",
        "Dice, fold 2 of 2": "0.930",
        "Dice, PA": "0.970",
        "Dice, worst image": "0.910",
    }
    assert "3 images of 2 patients" in numbers["Dice, right lung"].on
    assert {number.source for number in numbers.values()} == {"inference/shipped/net.json"}


def test_training_data_are_counted_by_origin_and_carry_the_attribution_that_their_licence_asks_for(shipped):
    first, second = training_data("net", shipped)
    assert (first.images, first.patients, second.images, second.patients) == (2, 1, 1, 1)
    assert first.attribution == "https://images.example/x, CC BY 3.0; scaled down, with lung masks"
    assert lacks(replace(WHOLE, training_data=(first, second))) == []


def test_weights_without_a_record_leave_the_card_without_numbers(tmp_path):
    assert cross_validation("absent", tmp_path) == ()
    assert training_data("absent", tmp_path) == ()
