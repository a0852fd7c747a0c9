"""What builds the project agrees with what lies in it; there need not be a docker engine to see that."""

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from itertools import chain

import pytest

from tests.dockerfile import REPOSITORY, logical_lines, stages

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCK = (REPOSITORY / "requirements.lock").read_text()
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def copied() -> list[str]:
    """Return what the Dockerfile copies from the repository."""
    copies = [copy.split() for stage in stages() for copy in stage["COPY"]]
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


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


def test_the_image_runs_as_nobody_in_particular_and_serves_until_it_is_told_to_stop() -> None:
    last = stages()[-1]
    assert last["USER"] == ["10001:10001"]
    assert last["CMD"] == ['["opacity-node", "serve"]']
    assert last["STOPSIGNAL"] == ["SIGTERM"]
    assert last["VOLUME"] == ["/var/lib/opacity-node"]


def test_the_image_is_unhealthy_when_the_node_is_critical_and_not_when_a_destination_is_down() -> None:
    (check,) = stages()[-1]["HEALTHCHECK"]
    command = check.split("CMD ")[1]
    for severity, healthy in ((0, True), (1, True), (2, False)):
        answered = command.replace("opacity-node status --check", f"(exit {severity})")
        assert (subprocess.run(["sh", "-c", answered], check=False).returncode == 0) is healthy


def test_the_image_says_what_it_is() -> None:
    (labels,) = stages()[-1]["LABEL"]
    said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    project = PROJECT["project"]
    assert (said["title"], said["version"], said["licenses"]) == (
        project["name"],
        project["version"],
        project["license"],
    )


def test_nothing_enters_the_image_from_the_network_but_by_pip_and_uv() -> None:
    words = {word for stage in stages() for word in stage}
    assert "ADD" not in words
    commands = " ".join(run for stage in stages() for run in stage.get("RUN", []))
    assert re.findall(r"\b(?:curl|wget|git|apt|apt-get)\b|://", commands) == []


def test_the_image_takes_from_the_lock_all_that_the_project_needs_and_no_tool_of_developers() -> None:
    (command,) = [run for run in stages()[0]["RUN"] if "uv pip compile" in run]
    assert "--require-hashes -r runtime.lock" in command
    assert {"torch", "torchvision"} == set(re.findall(r"'\^\(([^']*)\)=='", command)[-1].split("|"))
    left_out = re.compile(re.findall(r"grep -vE '([^']*)'", command)[0])
    of_cuda = {name for name in pinned() if left_out.match(f"{name}==")}
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"} <= of_cuda
    assert of_cuda & {"torchxrayvision", "numpy", "lungmask"} == set()


def test_the_lock_pins_every_direct_dependency_by_hash() -> None:
    wanted = [*PROJECT["project"]["dependencies"], *chain(*PROJECT["project"]["optional-dependencies"].values())]
    names = {re.split(r"[<>=\[; ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    names -= {PROJECT["project"]["name"]}  # whose one extra holds the other
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
