"""A whole node that is treated badly, and must be as it was afterwards."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dicom_out.sender import SendState, send
from node.demo.harness import RunningNode, free_port, write_config
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.hostile.pdus import echoes

FULL = os.environ.get("HOSTILE_FULL") == "1"
MOST_ASSOCIATIONS = 24
NETWORK_TIMEOUT_S = 3
_SETTINGS = f"maximum_associations = {MOST_ASSOCIATIONS}\nnetwork_timeout_s = {NETWORK_TIMEOUT_S}\n"
_GROWTH_MB = 100
_LIMIT_S = 30


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Slices too thick for any pipeline."""
    folder = tmp_path_factory.mktemp("images")
    return write(folder, to_datasets(make_chest(slices=2, rows=64, columns=64, spacing_mm=(20.0, 5.5, 5.5))))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, images: list[Path]) -> Iterator[RunningNode]:
    """A node that has stored and echoed; at the end it holds no more threads, files and memory than then."""
    file = write_config(tmp_path_factory.mktemp("hostile"), pacs_port=free_port())
    file.write_text(file.read_text().replace("\n[storage]", f"{_SETTINGS}\n[storage]", 1))
    with RunningNode(file) as running:
        assert stores(running, images)
        _until(running.studies, "nothing was taken into the database")
        time.sleep(1)  # threads that only begin then
        process = psutil.Process(running.process.pid)
        threads, files = process.num_threads(), process.num_fds()
        resident = process.memory_info().rss
        yield running
        _until(lambda: process.num_threads() <= threads + 2, "threads are left")
        _until(lambda: process.num_fds() <= files + 4, "files are left open")
        assert process.memory_info().rss - resident < _GROWTH_MB * 1_000_000
        said = running.log.read_text()
        assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]


@pytest.fixture(autouse=True)
def as_before(node: RunningNode, images: list[Path]) -> Iterator[None]:
    """Check that the node answers and stores after each test."""
    yield
    node.check()
    _until(lambda: _echoes(node.peer.port), "no echo")
    assert stores(node, images)


@pytest.fixture
def port(node: RunningNode) -> int:
    return node.peer.port


def _echoes(port: int) -> bool:
    """Say whether an echo goes well; associations that were just broken off may fill the room for a moment."""
    try:
        return echoes(port)
    except AssertionError:
        return False


def stores(node: RunningNode, images: list[Path]) -> bool:
    return {outcome.state for outcome in send(images[:1], node.peer)} == {SendState.SENT}


def _until(condition: object, otherwise: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)
