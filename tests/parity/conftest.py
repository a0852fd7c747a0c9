"""The cases, the package's own run on each, and a shelf: made once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parity import cases, package
from tests.parity.evidence import Evidence
from tests.parity.planting import Tiny, fill_shelf, plant_tiny_networks


@pytest.fixture(scope="session")
def evidence(request) -> Iterator[Evidence]:
    """Where tests leave what they found; written to $PARITY_EVIDENCE if all of them passed."""
    found = Evidence()
    yield found
    path = os.environ.get("PARITY_EVIDENCE")
    if path and not request.session.testsfailed:
        found.write(Path(path))


@pytest.fixture(scope="session", params=[*cases.PHANTOMS, "real CT"])
def case(request, tmp_path_factory) -> cases.Case:
    if request.param == "real CT":
        return cases.real(request.getfixturevalue("real_ct"))
    return cases.phantom(request.param, tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="session")
def theirs_on():
    """Run the package on a case, with tiny networks."""

    def run(case: cases.Case) -> dict:
        with pytest.MonkeyPatch.context() as patch:
            steps = package.transforms(patch, Tiny)
            return package.run(patch, steps, package.read(case.folder, case.header), case.labels)

    return run


@pytest.fixture
def tiny_shelf(monkeypatch, tmp_path) -> Path:
    """Weights that are verified and never loaded: our networks are the same tiny ones."""
    fill_shelf(monkeypatch, tmp_path / "weights")
    plant_tiny_networks(monkeypatch)
    return tmp_path / "weights"
