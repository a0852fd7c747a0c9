"""`opacity-node models` as an operator uses it, against a server on this machine."""

import io
import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from node import download
from node.cli import app
from node.cli.models import models_app
from node.console import console
from tests import slots
from tests.file_server import FileServer, says
from tests.slots import pinned, sha256


def saved(*values):
    buffer = io.BytesIO()
    torch.save({"bias": torch.tensor(values)}, buffer)
    return buffer.getvalue()


RIGHT = saved(1.0, 2.0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_width", 100)  # a worker of xdist fixes it as the console is made
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "_FUTILE_AT_MOST", 0)  # an operator waits; a test does not
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(map(str, arguments)))


@pytest.fixture
def server():
    with FileServer(RIGHT) as running:
        yield running


@pytest.fixture
def known(monkeypatch, server):
    """Declare one slot of each kind that there is."""
    slots.declare(
        monkeypatch,
        {
            "name": "pinned",
            "url": server.url("pinned.pth"),
            "pin": pinned(RIGHT),
            "size": len(RIGHT),
            "licence": "Apache-2.0",
            "required_by": ["lung-densitometry"],
        },
        {"name": "unpinned", "url": server.url("unpinned.pth"), "required_by": ["balaitous"]},
        {"name": "own", "outputs": ["a", "b"], "output_key": "bias", "required_by": ["balaitous"]},
        {"name": "start", "url": server.url("start.pth"), "pin": pinned(RIGHT), "training_start_for": ["balaitous"]},
    )


def test_every_command_that_the_documentation_names_is_there(run):
    document = Path(__file__).parents[2] / "docs" / "weights.md"
    named = set(re.findall(r"opacity-node models (\w+)", document.read_text(encoding="utf-8")))
    assert named == {command.name or command.callback.__name__ for command in models_app.registered_commands}
    for name in named:
        assert run("models", name, "--help").exit_code == 0


def states(run):
    return {slot["name"]: slot["state"] for slot in json.loads(run("models", "list", "--json").output)}


def test_the_shipped_manifest_is_listed_within_a_hundred_columns(run):
    done = run("models", "list")
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 100
    for word in ("lungmask-r231", "missing", "Apache-2.0", "opacity-explain-classifier-convnext"):
        assert word in done.output
    assert "rule 'chest CT'" in " ".join(done.output.split())
    assert "…" not in done.output
    assert "would be used by" in " ".join(done.output.split()), "it is not there, so it is not in use"


def test_what_is_shipped_is_there_verified_and_nothing_to_install(run):
    row = next(line for line in run("models", "list").output.splitlines() if line.strip().startswith("lung-fields"))
    assert row.split()[1] == "shipped"
    assert "lung-fields: present, sha256" in run("models", "verify", "lung-fields").output
    fetched = run("models", "fetch", "--pipeline", "lung-fields")
    assert (fetched.exit_code, fetched.output.strip()) == (0, "")
    for command in (["fetch", "lung-fields"], ["add", "lung-fields", __file__], ["remove", "lung-fields"]):
        done = run("models", *command)
        assert done.exit_code
        assert "comes with opacity-node" in done.output


def test_slots_that_pipelines_run_on_come_first(run, known):
    lines = run("models", "list").output.splitlines()
    names = ("pinned", "unpinned", "own", "start")
    places = [next(n for n, line in enumerate(lines) if line.strip().startswith(name)) for name in names]
    assert places == sorted(places)
    assert places[2] + 1 < places[3], "an empty line lies between"
    assert "needed by rule 'chest CT'" in " ".join(" ".join(lines).split())
    assert lines[-2].strip() == "last group: weights that no pipeline runs on"


def test_weights_of_ones_own_have_ones_own_licence(run, known, tmp_path):
    (tmp_path / "mine.pth").write_bytes(RIGHT)
    assert "the site's own" not in " ".join(run("models", "list").output.split())
    assert run("models", "add", "own", tmp_path / "mine.pth").exit_code == 0
    licences = {slot["name"]: slot["licence"] for slot in json.loads(run("models", "list", "--json").output)}
    assert licences == {"pinned": "Apache-2.0", "unpinned": "MIT", "own": "the site's own", "start": "MIT"}
    row = next(line for line in run("models", "list").output.splitlines() if line.strip().startswith("own"))
    assert "the site's" in row


def test_the_list_says_what_is_missing_for_which_rule_and_how_to_install_it(run, known):
    done = run("models", "list")
    assert (
        "! pinned: missing, not installed; needed by lung-densitometry (rule 'chest CT'). "
        "To install: opacity-node models fetch pinned" in done.output
    )
    assert "! own" not in done.output  # no rule runs balaitous
    (slot, *_) = json.loads(run("models", "list", "--json").output)
    assert slot["needed_now_by"] == {"lung-densitometry": "rule 'chest CT'"}
    assert slot["install"] == "opacity-node models fetch pinned"


def test_fetch_installs_what_is_named(run, known, tmp_path):
    done = run("models", "fetch", "pinned", "start")
    assert done.exit_code == 0, done.output
    assert f"pinned: installed, sha256 {sha256(RIGHT)}" in done.output
    assert states(run) == {"pinned": "present", "unpinned": "missing", "own": "missing", "start": "present"}
    assert "pinned: already there" in run("models", "fetch", "pinned").output
    listed = run("models", "list").output
    assert sha256(RIGHT)[:8] in listed
    assert "!" not in listed


def test_fetch_by_pipeline_and_all_install_what_may_be_and_say_what_may_not(run, known, server):
    done = run("models", "fetch", "--pipeline", "balaitous")
    assert done.exit_code == 1
    assert "balaitous also needs your own: opacity-node models add own PATH" in done.output
    assert "opacity-node models fetch unpinned --accept-unpinned" in done.output
    assert run("models", "fetch", "--pipeline", "balaitous", "--accept-unpinned").exit_code == 0
    server.script(says(404))
    done = run("models", "fetch", "--all")
    assert done.exit_code == 1  # the first was not there, the others came all the same
    assert "no such file" in done.output
    assert states(run) == {"pinned": "missing", "unpinned": "present", "own": "missing", "start": "present"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "one of the three"),
        (("pinned", "--all"), "one of the three"),
        (("nonsense",), "there are: pinned, unpinned, own, start"),
        (("--pipeline", "nonsense"), "there are: balaitous, lung-densitometry"),
    ],
)
def test_fetch_says_what_it_can_do(run, known, arguments, why):
    done = run("models", "fetch", *arguments)
    assert done.exit_code == 2
    assert why in done.output


def test_a_busy_server_is_waited_for_aloud(run, known, server, monkeypatch):
    monkeypatch.setattr(download, "_FUTILE_AT_MOST", 1)
    server.script(says(429, Retry_After="0"))
    done = run("models", "fetch", "pinned")
    assert done.exit_code == 0
    assert "the server answers 429" in done.output
    assert "once more in 0 s" in done.output


def test_a_closed_network_is_served_by_a_carried_folder(run, known, tmp_path):
    assert run("models", "fetch", "pinned", "--to-dir", tmp_path / "carried").exit_code == 0
    assert states(run)["pinned"] == "missing"
    done = run("models", "add", "pinned", tmp_path / "carried" / "pinned.pth")
    assert done.exit_code == 0
    assert states(run)["pinned"] == "present"


def test_own_weights_are_added_with_the_meaning_of_their_outputs_and_removed(run, known, tmp_path):
    (tmp_path / "mine.pth").write_bytes(RIGHT)
    done = run("models", "add", "own", "mine.pth", "--output", "b", "--output", "a", "--threshold", "b=0.25")
    assert done.exit_code == 0, done.output
    assert "outputs: b, a" in done.output
    slot = next(s for s in json.loads(run("models", "list", "--json").output) if s["name"] == "own")
    assert slot["installed"]["outputs"] == ["b", "a"]
    assert slot["installed"]["thresholds"] == {"b": 0.25}
    assert run("models", "add", "own", "mine.pth", "--threshold", "b").exit_code == 2
    assert run("models", "add", "own", "nowhere.pth").exit_code == 2
    done = run("models", "remove", "own")
    assert done.exit_code == 0
    assert states(run)["own"] == "missing"
    assert run("models", "remove", "own").exit_code == 2


def test_verify_hashes_anew_and_fails_for_what_is_wrong(run, known, tmp_path):
    nothing = run("models", "verify")
    assert nothing.exit_code == 0
    assert "nothing is installed" in nothing.output
    assert run("models", "verify", "pinned").exit_code == 1
    run("models", "fetch", "pinned")
    assert f"pinned: present, sha256 {sha256(RIGHT)}" in run("models", "verify").output
    (tmp_path / "weights" / "pinned.pth").write_bytes(RIGHT[:-1] + b"x")
    done = run("models", "verify")
    assert done.exit_code == 1
    assert "pinned: wrong, its sha256 is" in done.output
    assert json.loads(run("models", "verify", "--json").output)[0]["state"] == "wrong"
    listed = run("models", "list").output
    assert "! pinned: wrong" in listed


def test_check_config_names_every_slot_that_a_rule_lacks(run, known, tmp_path):
    done = run("check-config")
    assert done.exit_code == 0
    assert "! lung-densitometry cannot run (rule 'chest CT') with the weights pinned missing" in done.output
    run("models", "fetch", "pinned")
    assert "cannot run" not in run("check-config").output
