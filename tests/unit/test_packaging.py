"""What builds the project agrees with what lies in it; there need not be a docker engine to see that."""

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCK = (REPOSITORY / "requirements.lock").read_text()
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def logical_lines(file: str) -> list[str]:
    text = re.sub(r"^\s*#.*\n", "", (REPOSITORY / file).read_text(), flags=re.MULTILINE)
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def copied() -> list[str]:
    """Return what the Dockerfile copies from the repository."""
    instructions = [line.split()[1:] for line in logical_lines("Dockerfile") if line.startswith("COPY ")]
    return [source for words in instructions if not words[0].startswith("--from") for source in words[:-1]]


def pinned() -> dict[str, str]:
    """Return the lock's blocks by distribution name."""
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    return {block.split("==")[0]: block for block in blocks}


@pytest.mark.parametrize("source", copied())
def test_what_the_dockerfile_copies_is_there_and_reaches_the_builder(source: str) -> None:
    assert (REPOSITORY / source).exists()
    assert f"!{source}" in logical_lines(".dockerignore")


def test_the_image_holds_every_package_of_the_project() -> None:
    assert set(PACKAGES) <= set(copied())


def test_the_image_runs_as_nobody_in_particular_and_serves() -> None:
    lines = logical_lines("Dockerfile")
    assert "USER opacity" in lines
    assert lines[-1] == 'CMD ["opacity-node", "serve"]'


def test_the_lock_pins_every_direct_dependency_by_hash() -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=\[; ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    blocks = pinned()
    assert names <= blocks.keys()
    assert [name for name, block in blocks.items() if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("name", ["pylibjpeg-libjpeg"])
def test_no_decoder_under_the_gpl_is_locked_or_installed(name: str) -> None:
    assert name not in pinned()
    with pytest.raises(PackageNotFoundError):
        version(name)


def test_the_lock_names_no_package_index() -> None:
    assert re.findall(r"^.*(?:://|--index-url|--find-links).*$", LOCK.split("\n", 2)[2], flags=re.MULTILINE) == []


def test_the_lock_holds_the_build_backend_and_uv_which_make_setup_takes_from_it() -> None:
    assert {"hatchling", "uv"} <= pinned().keys()


def test_make_help_lists_every_target_that_a_person_would_call() -> None:
    listed = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^\.PHONY: (\w+)$", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    assert [line.split()[1] for line in listed.splitlines()] == targets


@pytest.mark.parametrize("script", ["scripts/check", ".ci/run"])
def test_scripts_are_executable_and_bash_can_read_them(script: str) -> None:
    file = REPOSITORY / script
    assert file.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", file], check=True)
