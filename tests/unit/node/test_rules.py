"""What each condition of a rule asks of a stack."""

import time
from datetime import UTC, datetime

import pytest

from node.fields import MATCHED_CHARACTERS
from node.rules import Origin, Rule, When, judge
from node.stacks import split
from tests.unit.node.headers import axial

ORIGIN = Origin(calling_ae_title="ER_CT1", called_ae_title="NODE", received_at=datetime(2026, 1, 1, tzinfo=UTC))
VALUES = {
    "study_description": "CT Thorax low dose",
    "series_description": "Chest 1.0 B30f",
    "body_part_examined": "CHEST",
    "slice_thickness": 1.0,
    "patient_age_years": 45.0,
    "patient_sex": "F",
    "view_position": "PA",
    "contrast_bolus_agent": "Iopromide",
    "presentation_intent_type": "FOR PRESENTATION",
}


def verdicts(when, **changes):
    (stack,) = split(axial(**(VALUES | changes)))
    return judge(When(**when), stack, ORIGIN)


@pytest.mark.parametrize(
    "when",
    [
        {"modality": "CT"},
        {"modality": ["DX", "CT"]},
        {"calling_ae_title": ["OTHER", "ER_CT1"]},
        {"called_ae_title": "NODE"},
        {"study_description": "chest|thorax"},
        {"series_description": "^chest"},
        {"series_description": "^(?!.*scout)"},
        {"body_part_examined": "chest"},
        {"image_type": ["axial", "ORIGINAL"]},
        {"view_position": ["PA", "AP"]},
        {"slice_count": {"min": 60, "max": 60}},
        {"slice_thickness_mm": {"max": 1}},
        {"convolution_kernel": "^b[34]"},
        {"patient_age_years": {"min": 18}},
        {"patient_sex": ["F", ""]},
        {"contrast": True},
        {"presentation_intent_type": "FOR PRESENTATION"},
        {},
    ],
    ids=str,
)
def test_a_condition_is_met(when):
    found = verdicts(when)
    assert [v.condition for v in found] == list(when)
    assert all(v.met for v in found)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"modality": ["CR", "DX"]}, "modality is 'CT', wanted CR or DX"),
        ({"calling_ae_title": "er_ct1"}, "calling_ae_title is 'ER_CT1', wanted er_ct1"),
        ({"called_ae_title": "OTHER"}, "called_ae_title is 'NODE', wanted OTHER"),
        ({"study_description": "abdomen"}, "study_description is 'CT Thorax low dose', wanted /abdomen/"),
        ({"series_description": "^(?!.*chest)"}, "series_description is 'Chest 1.0 B30f', wanted /^(?!.*chest)/"),
        ({"body_part_examined": ["HEAD", ""]}, "body_part_examined is 'CHEST', wanted HEAD or absent"),
        (
            {"image_type": ["ORIGINAL", "LOCALIZER"]},
            "image_type is 'ORIGINAL/PRIMARY/AXIAL', wanted ORIGINAL and LOCALIZER",
        ),
        ({"view_position": "LL"}, "view_position is 'PA', wanted LL"),
        ({"slice_count": {"min": 61}}, "slice_count is 60, wanted 61 or more"),
        ({"slice_thickness_mm": {"min": 1.25, "max": 5}}, "slice_thickness_mm is 1, wanted 1.25 to 5"),
        ({"convolution_kernel": "^b[67]"}, "convolution_kernel is 'B30f', wanted /^b[67]/"),
        ({"patient_age_years": {"max": 17}}, "patient_age_years is 45, wanted 17 or less"),
        ({"patient_sex": "M"}, "patient_sex is 'F', wanted M"),
        ({"contrast": False}, "contrast is given, wanted not given"),
        ({"presentation_intent_type": "FOR PROCESSING"}, "presentation_intent_type is 'FOR PRESENTATION', wanted FOR"),
    ],
    ids=str,
)
def test_a_condition_that_is_not_met_says_what_it_found_and_what_it_wants(when, said):
    (verdict,) = verdicts(when)
    assert not verdict.met
    assert str(verdict).startswith(said)


ABSENT = {name: "" for name, value in VALUES.items() if isinstance(value, str)} | {
    "slice_thickness": None,
    "patient_age_years": None,
    "image_type": (),
    "convolution_kernel": "",
}


@pytest.mark.parametrize(
    "when",
    [
        {"study_description": "chest"},
        {"body_part_examined": "CHEST"},
        {"image_type": "ORIGINAL"},
        {"slice_thickness_mm": {"max": 5}},
        {"convolution_kernel": "^b"},
        {"patient_age_years": {"min": 0}},
        {"patient_sex": ["F", "M"]},
        {"contrast": True},
    ],
    ids=str,
)
def test_what_is_absent_meets_no_condition(when):
    (verdict,) = verdicts(when, **ABSENT)
    assert not verdict.met
    assert verdict.found in {"absent", "not given"}


def test_but_those_that_ask_for_it():
    assert all(v.met for v in verdicts({"contrast": False, "patient_sex": ["F", ""]}, **ABSENT))


@pytest.mark.parametrize("agent", ["NONE", "no", " Without "])
def test_an_agent_that_says_none_is_none(agent):
    (verdict,) = verdicts({"contrast": False}, contrast_bolus_agent=agent)
    assert verdict.met


def test_only_as_much_of_a_value_as_the_standard_allows_is_searched_so_that_none_holds_up_the_node():
    (inside,) = verdicts({"series_description": "x$"}, series_description="a" * (MATCHED_CHARACTERS - 1) + "x")
    (beyond,) = verdicts({"series_description": "x"}, series_description="a" * MATCHED_CHARACTERS + "x")
    assert inside.met
    assert not beyond.met
    start = time.perf_counter()
    verdicts({"series_description": "a*a*a*.*b"}, series_description="a" * 100_000)
    assert time.perf_counter() - start < 2


def test_all_conditions_count_and_each_has_its_verdict():
    found = verdicts({"modality": "CT", "slice_count": {"min": 100}, "contrast": True})
    assert [(v.condition, v.met) for v in found] == [("modality", True), ("slice_count", False), ("contrast", True)]


def test_a_modality_beside_the_name_is_a_condition():
    rule = Rule(name="a", modality="CT", when={"slice_count": {"min": 2}}, pipelines=["p"])
    assert rule.conditions.modality == ("CT",)
    assert rule.conditions.slice_count.min == 2
