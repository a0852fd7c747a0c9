"""The page on access and TLS: its commands work, its settings are ones, and its reasons are those that there are."""

import re
import subprocess
from pathlib import Path

import pytest

from handlers.refusals import Reason
from node import config
from node.tls import check_files
from tests.peers import need_tool

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder in which every command of the page was run."""
    need_tool("openssl")
    made = tmp_path_factory.mktemp("page")
    for block in blocks("sh"):
        quicker = block.replace("rsa:3072", "rsa:2048")
        subprocess.run(["sh", "-e", "-c", quicker], cwd=made, check=True, capture_output=True, timeout=120)
    return made


@pytest.mark.parametrize("settings", blocks("toml"), ids=["receiving", "sending"])
def test_the_settings_work_with_the_files_that_the_commands_make(folder, settings):
    rules = 'name = "chest CT"\nmodality = "CT"\npipelines = ["lung-densitometry"]\ndestinations = ["pacs"]\n'
    file = folder / "config.toml"
    file.write_text(f"{settings}\n[[rules]]\n{rules}" if "destinations" in settings else settings)
    loaded = config.load(file)
    assert loaded.dicom.tls.certificate == folder / "node.pem"
    check_files(loaded)


def test_certificates_last_and_the_page_can_tell(folder):
    command = PAGE[PAGE.index("openssl x509 -in node.pem -noout -checkend") :].split("`")[0]
    assert subprocess.run(["sh", "-c", command], cwd=folder, check=False, capture_output=True).returncode == 0


def test_every_reason_for_a_refusal_is_explained():
    for reason in Reason:
        assert f"| `{reason.value}` |" in PAGE
