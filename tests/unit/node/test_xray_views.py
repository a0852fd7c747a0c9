"""Which view an image is: terms of the standard, codes, free text of many sites, and the patient's orientation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.xray_views import View, named_view, view_of
from tests.unit.node.headers import xray


@pytest.mark.parametrize(
    ("said", "view"),
    [
        ("PA", View.PA),
        ("AP", View.AP),
        ("pa", View.PA),
        ("AP Supine", View.AP),
        ("AP PORTABLE", View.AP),
        ("view: PA", View.PA),
        ("W Chest AP", View.AP),
        ("Thorax pa", View.PA),
        ("Thorax p.a.", View.PA),
        ("Thorax a.p. liegend", View.AP),
        ("Thorax.PA", View.PA),
        ("PA_erect", View.PA),
        ("POSTERO-ANTERIOR", View.PA),
        ("Thorax de face", View.FRONTAL),
        ("Chest frontal", View.FRONTAL),
        ("Chest PA/AP", View.FRONTAL),
        ("LL", View.LATERAL),
        ("RL", View.LATERAL),
        ("LAT", View.LATERAL),
        ("LATERAL", View.LATERAL),
        ("LEFT LATERAL", View.LATERAL),
        ("Thorax seitl.", View.LATERAL),
        ("Thorax seitlich", View.LATERAL),
        ("Thorax profil", View.LATERAL),
        ("W Chest Lat.", View.LATERAL),
        ("LLD", View.DECUBITUS),
        ("RLD", View.DECUBITUS),
        ("AP LEFT LATERAL DECUBITUS", View.DECUBITUS),
        ("OBLIQUE", View.OBLIQUE),
        ("RLO", View.OBLIQUE),
        ("LLO", View.OBLIQUE),
        ("RAO", View.OBLIQUE),
        ("POSTERO-ANTERIOR OBLIQUE", View.OBLIQUE),
        ("AP AXIAL", View.LORDOTIC),
        ("AP LORDOTIC", View.LORDOTIC),
        ("Chest PA and lateral", View.UNKNOWN),
        ("Thorax pa + seitl.", View.UNKNOWN),
        ("CHEST", View.UNKNOWN),
        ("PORTABLE", View.UNKNOWN),
        ("Patient 3", View.UNKNOWN),
        ("Latissimus", View.UNKNOWN),
        ("", View.UNKNOWN),
    ],
)
def test_words_of_headers_name_a_view(said, view):
    assert named_view(said) is view


@given(st.text(st.characters(codec="ascii"), max_size=64))
def test_upper_and_lower_case_name_the_same_view(text):
    assert named_view(text.lower()) is named_view(text.upper())


@given(st.integers(0, 9999), st.sampled_from(["-", " ", "_", ", ", "/", "("]))
def test_numbers_and_signs_beside_a_word_change_nothing(number, sign):
    assert named_view(f"Chest{sign}{number}{sign}PA{sign}{number}") is View.PA


@pytest.mark.parametrize("view", [v for v in View if v not in {View.OTHER, View.UNKNOWN}])
def test_the_name_of_a_view_names_it(view):
    assert named_view(view.value) is view


def test_the_description_counts_only_where_view_position_names_nothing():
    assert view_of(xray(view_position="PA", series_description="lateral")).view is View.PA
    assert view_of(xray(view_position="", series_description="Thorax lat")).view is View.LATERAL
    assert view_of(xray(view_position="ERECT", series_description="Thorax lat")).view is View.LATERAL
    assert str(view_of(xray(view_position="", series_description="Thorax lat"))) == (
        "lateral by series description 'Thorax lat'"
    )


@pytest.mark.parametrize(
    ("orientation", "view"),
    [
        (("L", "F"), View.PA),
        (("R", "F"), View.PA),
        (("F", "L"), View.PA),
        ((), View.PA),
        (("P", "F"), View.LATERAL),
        (("A", "F"), View.LATERAL),
        (("F", "A"), View.LATERAL),
        (("L", "P"), View.LATERAL),
        (("L", ""), View.OTHER),
    ],
)
def test_an_orientation_that_no_frontal_image_has_outweighs_a_frontal_view(orientation, view):
    assert view_of(xray(patient_orientation=orientation)).view is view
