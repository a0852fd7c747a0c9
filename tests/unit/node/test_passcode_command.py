"""`opacity-node hash-passcode`: what it prints is what [dicom.users] takes."""

from typer.testing import CliRunner

from handlers.passcodes import fits
from node.cli import app
from node.sections import Dicom


def test_a_passcode_is_asked_for_twice_and_only_its_hash_is_printed():
    done = CliRunner().invoke(app, ["hash-passcode"], input="pässword\npässword\n")
    assert done.exit_code == 0
    kept = done.stdout.splitlines()[-1]
    assert fits("pässword".encode(), kept)
    assert "pässword" not in done.output
    assert Dicom(users={"anna": kept}).users["anna"] == kept
