"""`opacity-node pipelines`: what can be run, and how far it can be trusted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.registry import CARDS
from inference.weights.manifest import SLOTS
from node.card_page import END, page
from node.cli import app
from node.console import console

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_width", 400)  # so wide that no cell of a table is broken into lines
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def words(text):
    return " ".join(text.split())


def test_every_pipeline_is_listed_with_its_modality_weights_and_rule(run):
    done = run("pipelines")
    assert done.exit_code == 0, done.output
    said = words(done.output)
    for needed in (
        f"lung-densitometry {CARDS['lung-densitometry'].version} · CT ·",
        f"lung-fields {CARDS['lung-fields'].version} · X-ray ·",
        "weights lungmask-r231: not installed, works without: opacity-node models fetch lungmask-r231",
        "weights lung-fields: present",
        "used by: rule 'chest CT'",
    ):
        assert needed in said


def test_a_pipeline_that_no_rule_uses_is_said_to_have_none(run, tmp_path):
    (tmp_path / "config.toml").write_text("rules = []\n")
    said = words(run("pipelines").output)
    assert "used by: no rule" in said
    assert "used by: rule" not in said


@pytest.mark.parametrize("name", CARDS)
def test_the_whole_card_of_one_is_shown(run, name):
    done = run("pipelines", name)
    assert done.exit_code == 0, done.output
    said, card = words(done.output), CARDS[name]
    for text in (card.purpose, card.assessment, *card.limits, *card.not_for, *(n.source for n in card.quality)):
        assert words(text.replace("`", "")) in said


def test_weights_of_ones_own_are_listed_with_their_commands_and_the_recipe_that_makes_them(run):
    said = words(run("pipelines", "opacity-explain").output)
    for slot in SLOTS.values():
        if "opacity-explain" in slot.required_by and not slot.shipped:
            assert f"weights {slot.name}: missing: opacity-node models add {slot.name} PATH" in said
    assert said.count("PATH can be made with `opacity-node train opacity-explain`: docs/training.md") == 1


def test_a_script_gets_card_state_and_rule(run):
    found = {card["name"]: card for card in json.loads(run("pipelines", "--json").output)}
    assert set(found) == set(CARDS)
    (weights,) = found["lung-fields"]["weights"]
    assert weights["state"] == "present"
    assert weights["required"] is True
    assert len(weights["sha256"]) == 64
    one = json.loads(run("pipelines", "lung-fields", "--json").output)
    assert one["quality"][0]["source"] == "inference/shipped/lung-fields.json"


def test_an_unknown_pipeline_is_answered_with_those_there_are(run):
    done = run("pipelines", "lung-thing")
    assert done.exit_code == 2
    assert "there is no pipeline lung-thing; there are: lung-densitometry, lung-fields" in words(done.output)


def test_markdown_needs_a_name(run):
    done = run("pipelines", "--markdown")
    assert done.exit_code == 2
    assert "name a pipeline" in done.output


@pytest.mark.parametrize("name", CARDS)
def test_its_page_in_docs_is_up_to_date(run, name):
    written = (ROOT / "docs/pipelines" / f"{name}.md").read_text()
    generated, marker, _ = written.partition(END)
    assert marker, "the page has no mark that ends its generated part"
    assert generated == run("pipelines", name, "--markdown").output + "\n", (
        "the page is out of date: .venv/bin/python scripts/pipeline_pages.py"
    )
    assert page(CARDS[name]) in written


def test_cards_and_pages_need_no_torch_and_no_imaging_library():
    heavy = {"torch", "SimpleITK", "scipy", "skimage"}
    code = f"import sys, node.cli.pipelines; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
