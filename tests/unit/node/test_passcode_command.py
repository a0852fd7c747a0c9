"""`opacity-node hash-passcode`: what it prints is what [dicom.users] takes."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from handlers.passcodes import fits
from node.cli import app
from node.sections import Dicom


def test_a_passcode_is_asked_for_twice_and_only_its_hash_is_printed(monkeypatch):
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr("node.cli.service.sys", SimpleNamespace(stdin=terminal))
    done = CliRunner().invoke(app, ["hash-passcode"], input="pässword\npässword\n")
    assert done.exit_code == 0
    assert "Repeat for confirmation" in done.stderr
    kept = done.stdout.splitlines()[-1]
    assert fits("pässword".encode(), kept)
    assert "pässword" not in done.output
    assert Dicom(users={"anna": kept}).users["anna"] == kept


@pytest.mark.parametrize("piped", ["pässword", "pässword\n", "pässword\npässword\n"])
def test_a_piped_passcode_is_read_quietly(piped):
    done = CliRunner().invoke(app, ["hash-passcode"], input=piped)
    assert done.exit_code == 0
    assert done.stderr == ""
    (kept,) = done.stdout.splitlines()
    assert fits("pässword".encode(), kept)


@pytest.mark.parametrize("piped", ["", "\n", "one\nother\n"])
def test_what_is_no_single_passcode_is_refused_without_repeating_it(piped):
    done = CliRunner().invoke(app, ["hash-passcode"], input=piped)
    assert done.exit_code == 2
    assert "one passcode" in done.stderr
    assert "other" not in done.output


def test_its_help_names_the_section_of_the_configuration():
    assert "[dicom.users]" in " ".join(CliRunner().invoke(app, ["hash-passcode", "--help"]).output.split())
