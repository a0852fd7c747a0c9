"""What the README tells a newcomer to type exists, and what it names is there."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.registry import CARDS
from node.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"opacity-node ([a-z-]+)", README)) - {"bench"}))
def test_every_command_it_names_exists(command):
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)", README))))
def test_every_make_target_it_names_exists(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_file_it_links_is_there(link):
    assert (ROOT / link).is_file()


def test_it_lists_every_pipeline_and_no_other():
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", README, flags=re.MULTILINE))
    assert listed == set(CARDS)


def test_the_options_it_shows_exist():
    for command, option in (("status", "--check"), ("status", "--json"), ("send", "--to"), ("send", "--aet")):
        done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert option in done.output
