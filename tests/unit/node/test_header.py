"""What rules read of an instance's header, from real and from odd values."""

import pytest
from pydicom.dataset import Dataset

from inference.registry import CARDS
from node.header import InstanceHeader
from node.selection import header_values


def dataset(**values) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def view(code: str) -> Dataset:
    return dataset(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning="view")


@pytest.mark.parametrize(
    ("values", "years"),
    [
        ({"PatientAge": "045Y"}, 45.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "026W"}, 0.5),
        ({"PatientAge": "010D"}, 0.03),
        ({"PatientBirthDate": "19700101", "StudyDate": "20200101"}, 50.0),
        ({"PatientAge": "045Y", "PatientBirthDate": "19700101", "StudyDate": "20200101"}, 45.0),
        ({"PatientBirthDate": "19700101"}, None),
        ({"PatientBirthDate": "20200101", "StudyDate": "19700101"}, None),
        ({"PatientBirthDate": "1970", "StudyDate": "20200101"}, None),
        ({"PatientAge": ""}, None),
    ],
)
def test_the_age_is_what_is_stated_else_the_time_from_birth_to_study(values, years):
    assert InstanceHeader.from_dataset(dataset(**values)).patient_age_years == years


@pytest.mark.parametrize("age", ["45", "forty", "045y "])
def test_an_age_in_another_form_is_read_only_where_it_cannot_be_misread(age):
    import pydicom

    with pydicom.config.disable_value_validation():
        header = InstanceHeader.from_dataset(dataset(PatientAge=age))
    assert header.patient_age_years == (45.0 if age == "045y " else None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewCodeSequence": [view("272479007")]}, "PA"),
        ({"ViewCodeSequence": [view("R-10206")]}, "AP"),
        ({"ViewPosition": "LL", "ViewCodeSequence": [view("R-10206")]}, "LL"),
        ({"ViewCodeSequence": [view("1")]}, ""),
        ({"ViewCodeSequence": []}, ""),
    ],
)
def test_the_view_is_what_is_stated_else_what_is_coded(values, expected):
    assert InstanceHeader.from_dataset(dataset(**values)).view_position == expected


def test_what_an_older_version_stored_is_read_with_nothing_in_the_new_places():
    old = {"sop_instance_uid": "1", "sop_class_uid": "2", "series_instance_uid": "3", "gone": "x"}
    header = InstanceHeader.from_json(old)
    assert header.study_description == ""
    assert header.patient_age_years is None
    assert InstanceHeader.from_json(header.to_json()) == header


def test_every_attribute_that_a_card_says_changes_its_result_is_read():
    header = InstanceHeader(sop_instance_uid="1", sop_class_uid="2", series_instance_uid="3")
    for card in CARDS.values():
        assert len(header_values(header, card.input.header_keywords)) == len(card.input.header_keywords)
