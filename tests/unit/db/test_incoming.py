"""Files that take what is received: durable names ahead of need, kept or dropped."""

import errno
import os
import time
import zlib

import pytest

from db import incoming
from db.incoming import AHEAD, Incoming, IncomingFile


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def started(folder):
    files = Incoming(folder)
    files.start()
    yield files
    files.stop()


@pytest.fixture
def synced(monkeypatch):
    """Names that lay in the folder whenever it was synced."""
    names = []
    monkeypatch.setattr(incoming, "sync_folder", lambda folder: names.extend(path.name for path in folder.iterdir()))
    return names


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.005)


def test_a_file_is_whole_under_its_name_or_absent(folder, tmp_path):
    file = IncomingFile(str(folder), "a.part")
    file.leave_room(6)
    file.write(b"012345")
    file.write(memoryview(b"6789"))
    file.seal(b"header")
    assert file.read(4) == b"0123"
    assert (file.size, file.crc32) == (10, zlib.crc32(b"0123456789"))
    file.keep(tmp_path / "kept")
    file.drop()
    assert (tmp_path / "kept").read_bytes() == b"header0123456789"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_what_cannot_be_made_durable_is_gone(folder, tmp_path, monkeypatch, call):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    file = IncomingFile(str(folder), "a.part")
    file.write(b"x")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output"):
        file.keep(tmp_path / "kept")
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "kept").exists()


def test_a_short_write_is_continued(folder, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:3], offset))
    file = IncomingFile(str(folder), "a.part")
    file.write(b"0123456789")
    assert file.read(20) == b"0123456789"


def test_a_file_that_is_taken_has_a_durable_name(folder, synced):
    file = Incoming(folder).take()
    assert synced == [path.name for path in folder.iterdir()]
    file.drop()


def test_files_wait_and_each_is_taken_once_and_was_synced_before(folder, started, synced):
    wait_until(lambda: len(started._waiting) == AHEAD)
    taken = [started.take() for _ in range(3 * AHEAD)]
    assert len({file.name for file in taken}) == 3 * AHEAD
    assert {file.name for file in taken[AHEAD:]} <= set(synced)


def test_files_that_wait_are_made_anew_as_they_are_taken_and_go_in_the_end(folder, started):
    wait_until(lambda: len(started._waiting) == AHEAD)
    taken = [started.take() for _ in range(AHEAD // 2)]
    wait_until(lambda: len(started._waiting) == AHEAD)
    started.stop()
    assert set(folder.iterdir()) == {folder / file.name for file in taken}


def test_a_folder_that_takes_no_file_is_told_to_whoever_takes_one_and_used_again_later(folder, started):
    wait_until(lambda: len(started._waiting) == AHEAD)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    for _ in range(AHEAD):
        started.take()
    with pytest.raises(FileNotFoundError):
        started.take()
    folder.mkdir()
    started.take().drop()
    wait_until(lambda: len(started._waiting) == AHEAD)
