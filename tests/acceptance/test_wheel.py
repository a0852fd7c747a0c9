"""The wheel alone: installed where there is no checkout, it configures, runs and shows a whole node."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("db", "dicom_out", "evaluation", "handlers", "inference", "node", "phantom", "training")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel as the Dockerfile builds it, but with the backend of this environment instead of a second one."""
    out = tmp_path_factory.mktemp("dist")
    run(
        sys.executable,
        "-m",
        "uv",
        "build",
        "--wheel",
        "--no-build-isolation",
        "--offline",
        "--out-dir",
        out,
        REPOSITORY,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The programs of a new environment that holds the wheel, and this one's dependencies without the project.

    A .pth names our site-packages as a plain folder of imports: Python then reads no .pth in it, so that the one of
    the editable install, which would lead to the checkout, has no effect.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--python", python, wheel)
    site_packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A folder from which no checkout can be found."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def run(*command, cwd: Path | None = None) -> str:
    """Run a program without our Python's paths; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPACITY_NODE"))}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_holds_every_file_of_its_packages_migrations_and_weights_too(wheel):
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not listed:
        pytest.skip("not a git checkout: nothing says which files belong to it")
    assert set(listed) - names(wheel) == set()
    assert {name.split("/")[1] for name in listed if name.startswith(("db/mig", "inference/wei"))} == {
        "migrations",
        "weights",
        "weights.toml",
    }


def test_it_holds_neither_tests_nor_images(wheel):
    held = {name for name in names(wheel) if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in held} == set(PACKAGES)
    assert {Path(name).suffix for name in held} <= {".py", ".toml", ".mako", ".json", ".safetensors", ".html"}


def test_it_imports_itself_and_not_the_checkout(installed, elsewhere):
    shown = run(
        installed / "python",
        "-c",
        "import importlib, sys\n"
        "from importlib.metadata import distribution\n"
        "print(distribution('opacity-node').locate_file(''))\n"
        "for package in sys.argv[1:]: print(importlib.import_module(package).__file__)",
        *PACKAGES,
        cwd=elsewhere,
    )
    assert [line for line in shown.splitlines() if not line.startswith(str(installed.parent))] == []
    assert str(REPOSITORY) not in run(installed / "python", "-c", "import sys; print(sys.path[:-1])", cwd=elsewhere)


def test_it_writes_the_configuration_to_begin_with_and_accepts_it(installed, elsewhere):
    config = run(installed / "opacity-node", "config", cwd=elsewhere)
    assert config == (REPOSITORY / "config.toml").read_text()
    (elsewhere / "config.toml").write_text(config)
    assert run(installed / "opacity-node", "check-config", cwd=elsewhere).startswith("ok")


def test_its_demo_runs_where_there_is_no_checkout(installed, elsewhere):
    shown = run(installed / "opacity-node", "demo", "--out", "out", cwd=elsewhere)
    assert "research use only" in shown.lower()
    summary = json.loads((elsewhere / "out" / "summary.json").read_text())
    assert summary["complete"]
    assert summary["findings"]
    assert {path.name for path in elsewhere.iterdir()} == {"out"}
