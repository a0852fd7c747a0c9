import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_out.build import ResultKind
from dicom_out.study import inherit
from tests import factories
from tests.validators import dciodvfy_errors

SCRIPTS = {
    "none": (None, "Smith^John", "CT chest"),
    "latin-1": ("ISO_IR 100", "Müller^Jürgen", "Thorax, Höhe"),
    "cyrillic": ("ISO_IR 144", "Люксембург^Роза", "Грудная клетка"),
    "arabic": ("ISO_IR 127", "قباني^لنزار", "الصدر"),
    "greek": ("ISO_IR 126", "Διονυσιος^Σ", "ΘΩΡΑΚΑΣ"),
    "utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東=", "胸部"),
    "gb18030": ("GB18030", "Wang^XiaoDong=王^小东=", "胸部"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "胸部CT"),
    "japanese-katakana": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "胸部CT"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "흉부"),
}
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)


@pytest.mark.parametrize("decoded_before", [False, True])
@pytest.mark.parametrize("script", SCRIPTS)
def test_names_in_any_script_survive_byte_for_byte(script, decoded_before, make_result):
    character_set, name, description = SCRIPTS[script]
    changes = {
        "SpecificCharacterSet": character_set,
        "PatientName": name,
        "ReferringPhysicianName": name,
        "StudyDescription": description,
    }
    series = factories.ct_series(changes=changes)
    expected = factories.ct_header(0, changes=changes)
    raw_name = expected.get_item("PatientName").value
    if decoded_before:
        str(series.headers[0])
    result = make_result(series)
    for path in result.paths:
        dataset = dcmread(path)
        assert dataset.get_item("PatientName").value == raw_name
        for keyword in ("SpecificCharacterSet", *changes):
            assert dataset.get(keyword) == expected.get(keyword), keyword
        assert str(dataset.PatientName) == name.rstrip("=")
        assert dciodvfy_errors(path) == []


def test_bytes_under_a_wrong_character_set_are_kept(make_result):
    series = factories.ct_series()
    element = series.headers[0].get_item("PatientName")
    wrong = "Müller^Jürgen ".encode("latin-1")
    series.headers[0]._dict[element.tag] = element._replace(value=wrong, length=len(wrong))
    for path in make_result(series).paths:
        assert dcmread(path).get_item("PatientName").value == wrong


def test_patient_and_study_are_copied_whole(make_result):
    issuer = Dataset()
    issuer.PatientID, issuer.IssuerOfPatientID, issuer.TypeOfPatientID = "Ä-2", "Spital", "TEXT"
    changes = {
        "IssuerOfPatientID": "Klinik",
        "OtherPatientIDsSequence": [issuer],
        "PatientAge": "056Y",
        "AdmissionID": "A1",
    }
    for path in make_result(factories.ct_series(changes=changes, implicit_vr=True)).paths:
        dataset = dcmread(path)
        source = factories.ct_header(0, changes=changes)
        keywords = (*TYPE_2, *changes, "StudyInstanceUID", "StudyDescription")
        assert [dataset.get(k) for k in keywords] == [source.get(k) for k in keywords]
        assert dciodvfy_errors(path) == []


@pytest.mark.parametrize("value", ["absent", "empty"])
def test_a_source_without_any_type_2_attribute_is_no_obstacle(value, make_result):
    changes = dict.fromkeys(TYPE_2, None if value == "absent" else "")
    changes["SpecificCharacterSet"] = None
    result = make_result(factories.ct_series(changes=changes))
    for path in result.paths:
        dataset = dcmread(path)
        assert [str(dataset[keyword].value or "") for keyword in TYPE_2] == [""] * len(TYPE_2)
        assert "SpecificCharacterSet" not in dataset


@pytest.mark.parametrize(
    "keyword",
    ["FrameOfReferenceUID", "SliceThickness", "InstanceNumber", "StudyDescription", "PatientSex", "StudyTime"],
)
def test_a_source_that_lacks_one_attribute_makes_valid_objects(keyword, make_result):
    result = make_result(factories.ct_series(changes={keyword: None}))
    assert [dciodvfy_errors(path) for path in result.paths] == [[]] * 4


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientSex", "X"), ("PatientBirthDate", "1970"), ("StudyTime", "25:00"), ("AccessionNumber", "A" * 20)],
)
def test_malformed_values_are_copied_as_they_are(keyword, value, make_result):
    series = factories.ct_series()
    raw = value.encode() + b" " * (len(value) % 2)
    for header in series.headers:
        element = header.get_item(keyword)
        header._dict[element.tag] = element._replace(value=raw, length=len(raw))
    for path in make_result(series).paths:
        assert dcmread(path).get_item(keyword).value == raw


def test_nothing_of_the_scanner_or_its_institution_is_claimed(make_result):
    changes = {"InstitutionName": "Hospital", "Manufacturer": "Scanners Inc", "StationName": "CT1"}
    for path in make_result(factories.ct_series(changes=changes)).paths:
        dataset = dcmread(path)
        assert "InstitutionName" not in dataset
        assert "StationName" not in dataset
        assert dataset.Manufacturer == "opacity-node"


def test_a_frame_of_reference_is_derived_where_the_source_has_none(make_result):
    result = make_result(factories.ct_series(changes={"FrameOfReferenceUID": None}))
    assert len({seg.FrameOfReferenceUID for seg in result.read(ResultKind.SEG)}) == 1


def test_an_attribute_that_the_source_lacks_is_removed():
    target = Dataset()
    target.StudyDescription = "made up"
    target.ProcedureCodeSequence = Sequence([])
    inherit(target, factories.ct_header(0, changes={"StudyDescription": None}))
    assert "StudyDescription" not in target
    assert "ProcedureCodeSequence" not in target


def test_a_source_in_descending_order_on_a_mirrored_grid_still_fits(make_result):
    changes = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}
    series = factories.ct_series(changes=changes)
    result = make_result(series)
    frames = [len(seg.PerFrameFunctionalGroupsSequence) for seg in result.read(ResultKind.SEG)]
    assert frames == [int(np.sum([m.any(axis=(1, 2)).sum() for m in group])) for group in _grouped(series)]


def _grouped(series):
    right, left, opacity = factories.masks(series.pixel_array.shape)
    return (right, left), (opacity,)
