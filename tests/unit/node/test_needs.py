import pytest

from node.config import Config
from node.needs import unheard, unmet, unsent, users_of
from node.rules import Rule
from node.sections import Destination, Dicom
from tests import slots
from tests.slots import pinned

RULES = (
    Rule(name="chest", modality=("CT",), pipelines=("lung-densitometry",), destinations=()),
    Rule(name="emergency", modality=("CT",), pipelines=("lung-densitometry",), destinations=()),
)
URL = "https://example.org/toy.pth"


@pytest.fixture
def declare(monkeypatch):
    return lambda **slot: slots.declare(monkeypatch, {"name": "toy", "url": URL, "pin": pinned(b"right")} | slot)


def test_a_missing_slot_is_one_line_with_its_rules_and_the_command(declare, tmp_path):
    declare(required_by=["lung-densitometry"])
    (line,) = unmet(RULES, tmp_path)
    assert line == (
        "lung-densitometry cannot run (rule 'chest', 'emergency') with the weights toy missing: not installed. "
        "To install them: opacity-node models fetch toy"
    )


def test_a_pipeline_that_lacks_several_is_one_line(monkeypatch, tmp_path):
    def lacking(names):
        declared = ({"name": name, "recipe": "toys", "required_by": ["lung-densitometry"]} for name in names)
        slots.declare(monkeypatch, *declared)
        (line,) = unmet(RULES, tmp_path)
        return line.removeprefix("lung-densitometry cannot run (rule 'chest', 'emergency') with ")

    assert lacking("ab") == (
        "the weights a missing: not installed, b missing: not installed. To install them: opacity-node models add a "
        "PATH; opacity-node models add b PATH; PATH can be made with `opacity-node train toys`: docs/training.md"
    )
    assert lacking("abcd") == (
        "4 of 4 weights of lung-densitometry missing: "
        "`opacity-node pipelines lung-densitometry` lists them with their commands"
    )


def test_a_file_of_a_wrong_size_is_told_without_reading_it(declare, tmp_path):
    declare(required_by=["lung-densitometry"], size=5)
    (tmp_path / "toy.pth").write_bytes(b"wrong size")
    (line,) = unmet(RULES, tmp_path)
    assert "has 10 bytes, expected 5" in line


def test_optional_weights_that_are_wrong_are_told_as_they_stop_the_pipeline_too(declare, tmp_path):
    declare(optional_for=["lung-densitometry"], size=5)
    (tmp_path / "toy.pth").write_bytes(b"wrong size")
    (line,) = unmet(RULES, tmp_path)
    assert "with the weights toy wrong" in line


def test_nothing_is_lacking_where_weights_are_there_optional_or_of_other_pipelines(declare, tmp_path):
    declare(optional_for=["lung-densitometry"], required_by=["balaitous"])
    assert unmet(RULES, tmp_path) == []
    declare(required_by=["lung-densitometry"])
    (tmp_path / "toy.pth").write_bytes(b"right")
    assert unmet(RULES, tmp_path) == []


def test_as_shipped_no_rule_lacks_anything(tmp_path):
    assert unmet(RULES, tmp_path) == []


def test_each_pipeline_in_use_names_its_rules():
    assert users_of(RULES) == {"lung-densitometry": "rule 'chest', 'emergency'"}
    assert users_of(()) == {}


@pytest.mark.parametrize(
    ("asked", "known", "told"),
    [(True, ("SCANNER",), True), (True, ("SCANNER", "PACS"), False), (True, (), False), (False, ("SCANNER",), False)],
)
def test_a_destination_that_is_to_confirm_storage_must_be_one_that_may_call_us(asked, known, told):
    place = Destination(name="pacs", host="127.0.0.1", port=104, ae_title="PACS", storage_commitment=asked)
    config = Config(dicom=Dicom(calling_ae_titles=known), destinations=(place,))
    assert ["PACS is not in dicom.calling_ae_titles" in line for line in unheard(config)] == [True] * told


def test_a_rule_without_a_destination_is_told_as_its_results_go_to_nobody():
    rules = (
        Rule(name="test run", pipelines=("lung-densitometry",)),
        Rule(name="CT", pipelines=("lung-densitometry",), destinations=("pacs",)),
    )
    (line,) = unsent(rules)
    assert "'test run'" in line
    assert "destinations" in line
