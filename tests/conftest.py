"""Fixtures for all tests: the real peers, the real data, and a guard against processes left behind."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pynetdicom import _config

from tests.fake_pacs import FakePacs
from tests.orthanc import Orthanc
from tests.peers import StoreScp
from tests.processes import SESSION_MARK, describe, left_behind

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers side by side: threads of one would only wait for those of the other. Before anything imports torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_CT = Path("ct") / "midrc_ricord_1a_001012"


_LONGEST_FIRST = ("learn", "torture", "viewers", "integration", "acceptance", "parity", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it in the end."""
    places = {folder: place for place, folder in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.relative_to(REPOSITORY / "tests").parts[0], len(places)))


@pytest.fixture(autouse=True, scope="module")
def pynetdicom_as_it_is_imported() -> Iterator[None]:
    """Undo what a server of ours, started in this process, says for all of it."""
    before = _config.UNRESTRICTED_STORAGE_SERVICE
    yield
    _config.UNRESTRICTED_STORAGE_SERVICE = before


@pytest.fixture(autouse=True, scope="session")
def no_process_left_behind() -> Iterator[None]:
    """Fail the session when something that a test started outlives it; end that, by its process id."""
    mark = uuid.uuid4().hex
    os.environ[SESSION_MARK] = mark
    yield
    processes = left_behind(mark, grace_s=10)
    message = describe(processes)
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=5)
    del os.environ[SESSION_MARK]
    if processes:
        pytest.fail(f"tests left processes behind: {message}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real studies: $OPACITY_NODE_DATA, else ../shared/data beside the repository."""
    folder = Path(os.environ.get("OPACITY_NODE_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real studies: {folder} does not exist; OPACITY_NODE_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def real_ct(shared_data: Path) -> Path:
    """A real chest CT: 248 slices, JPEG Lossless, COVID-19 (MIDRC-RICORD-1a)."""
    folder = shared_data / REAL_CT
    if not folder.is_dir():
        pytest.skip(f"no real CT: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def real_xrays(shared_data: Path) -> list[Path]:
    """Real frontal chest X-rays: a CR, the same relabelled MONOCHROME1, and a DX that says little of itself."""
    paths = sorted((shared_data / "cxr_dicom").glob("*.dcm"))
    if not paths:
        pytest.skip(f"no real X-rays: {shared_data / 'cxr_dicom'} holds none")
    return paths


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running, empty Orthanc."""
    with Orthanc(tmp_path / "orthanc") as peer:
        yield peer


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[StoreScp]:
    """A running DCMTK storescp."""
    with StoreScp(tmp_path / "storescp") as peer:
        yield peer


@pytest.fixture
def fake_pacs(tmp_path: Path) -> Iterator[FakePacs]:
    """A running Storage SCP that accepts everything until told otherwise."""
    with FakePacs(tmp_path / "pacs") as peer:
        yield peer
