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
        ({"ViewCodeSequence": [view("399173006")]}, "LL"),
        ({"ViewCodeSequence": [view("R-10232")]}, "RL"),
        ({"ViewCodeSequence": [view("399067008")]}, "LATERAL"),
        ({"ViewCodeSequence": [view("399356000")]}, "RIGHT ANTERIOR OBLIQUE"),
        ({"ViewCodeSequence": [view("R-40888")]}, "PA"),
        ({"ViewCodeSequence": [view("1"), view("R-10214")]}, "PA"),
        ({"ViewCodeSequence": [view("1")]}, ""),
        ({"ViewCodeSequence": []}, ""),
    ],
)
def test_the_view_is_what_is_stated_else_what_is_coded(values, expected):
    assert InstanceHeader.from_dataset(dataset(**values)).view_position == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"BodyPartExamined": "CHEST"}, "CHEST"),
        ({"AnatomicRegionSequence": [view("816094009")]}, "CHEST"),
        ({"AnatomicRegionSequence": [view("51185008")]}, "CHEST"),
        ({"AnatomicRegionSequence": [view("T-D3000")]}, "CHEST"),
        ({"AnatomicRegionSequence": [view("416550000")]}, "CHEST AND ABDOMEN"),
        ({"AnatomicRegionSequence": [view("T-D8700")]}, "HAND"),
        ({"BodyPartExamined": "CHEST", "AnatomicRegionSequence": [view("T-D8700")]}, "CHEST"),
        ({"AnatomicRegionSequence": [view("1")]}, ""),
    ],
)
def test_the_body_part_is_what_is_stated_else_a_common_region_that_is_coded(values, expected):
    assert InstanceHeader.from_dataset(dataset(**values)).body_part_examined == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"AcquisitionDate": "20260101", "AcquisitionTime": "120000.500000"}, "20260101 120000.5"),
        ({"AcquisitionDateTime": "20260101120000.5+0100", "AcquisitionTime": "130000"}, "20260101 120000.5"),
        ({"AcquisitionTime": "120000.00"}, "120000"),
        ({"AcquisitionTime": "120000", "StudyTime": "115900"}, "120000"),
        ({"AcquisitionTime": "120000", "StudyTime": "120000"}, ""),
        ({"AcquisitionDate": "20260101", "AcquisitionTime": "000000.00"}, ""),
        ({"AcquisitionDate": "19010101", "AcquisitionTime": "000000"}, ""),
        ({"AcquisitionTime": "12"}, ""),
        ({"AcquisitionDate": "20260101"}, ""),
        ({}, ""),
    ],
)
def test_the_time_of_acquisition_counts_only_where_it_tells_something(values, expected):
    assert InstanceHeader.from_dataset(dataset(**values)).acquired_at == expected


def key_object(title: str, sop_class_uid: str = "1.2.840.10008.5.1.4.1.1.88.59") -> Dataset:
    images = [dataset(ReferencedSOPClassUID="1", ReferencedSOPInstanceUID=uid) for uid in ("1.1", "1.2")]
    series = dataset(SeriesInstanceUID="1", ReferencedSOPSequence=images)
    return dataset(
        SOPClassUID=sop_class_uid,
        ConceptNameCodeSequence=[dataset(CodeValue=title, CodingSchemeDesignator="DCM", CodeMeaning="title")],
        CurrentRequestedProcedureEvidenceSequence=[dataset(ReferencedSeriesSequence=[series])],
    )


def test_of_key_objects_those_that_reject_tell_what():
    def rejected(*arguments):
        return InstanceHeader.from_dataset(key_object(*arguments)).rejected_instance_uids

    assert rejected("113001") == ("1.1", "1.2")
    assert rejected("113037") == ("1.1", "1.2")
    assert rejected("113000") == ()  # "Of Interest"
    assert rejected("113001", "1.2.840.10008.5.1.4.1.1.88.33") == ()


def lut(data: object, vr: str, first: int = 0) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [4, first, 16])
    item.add_new("LUTData", vr, data)
    return item


def test_a_lookup_table_is_the_same_however_it_is_encoded_and_another_if_one_entry_differs():
    def digest(*arguments):
        return InstanceHeader.from_dataset(dataset(VOILUTSequence=[lut(*arguments)])).voi_lut_sequence

    numbers = digest([1, 2, 3, 65535], "US")
    assert numbers
    assert digest(b"\x01\x00\x02\x00\x03\x00\xff\xff", "OW") == numbers
    assert digest([1, 2, 3, 4], "US") != numbers
    assert digest([1, 2, 3, 65535], "US", -5) != numbers
    assert InstanceHeader.from_dataset(dataset(VOILUTSequence=[])).voi_lut_sequence == ""
    assert InstanceHeader.from_dataset(dataset(VOILUTSequence=[Dataset()])).voi_lut_sequence == ""


def test_windows_are_read_as_numbers_however_many_and_however_written():
    one = InstanceHeader.from_dataset(dataset(WindowCenter="128", WindowWidth="256.0"))
    assert (one.window_center, one.window_width) == ((128.0,), (256.0,))
    two = InstanceHeader.from_dataset(dataset(WindowCenter=["128", "64"], WindowWidth=["256", "32"]))
    assert two.window_center == (128.0, 64.0)


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


@pytest.mark.parametrize("keyword", ["PatientAge", "PatientBirthDate", "StudyDate", "PatientSex"])
def test_a_corrected_patient_is_another_input_of_a_pipeline_that_reads_age_and_sex(keyword):
    before, after = (InstanceHeader.from_dataset(dataset(**{keyword: value})) for value in ("", "19500101"))
    keywords = CARDS["balaitous"].input.header_keywords
    assert header_values(before, keywords) != header_values(after, keywords)
