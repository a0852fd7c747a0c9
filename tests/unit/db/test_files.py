import errno
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.files import Storage, StorageError, is_uid, new_spool_name, spool_time_s, write_durably


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path / "storage")
    storage.prepare()
    return storage


def test_a_file_is_written_whole_synced_and_only_then_named(tmp_path, monkeypatch):
    events = []
    real_fsync, real_rename = os.fsync, type(tmp_path).rename

    def fsync(descriptor):
        events.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_fsync(descriptor)

    def rename(self, target):
        events.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(type(tmp_path), "rename", rename)
    write_durably(tmp_path / "a.dcm", [b"one", memoryview(b"two")])
    assert (tmp_path / "a.dcm").read_bytes() == b"onetwo"
    assert events == ["sync file", "rename", "sync folder"]


def test_a_failed_write_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_durably(tmp_path / "a.dcm", [b"one"])
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    write_durably(tmp_path / "a.dcm", [b"0123456789"])
    assert (tmp_path / "a.dcm").read_bytes() == b"0123456789"


def test_folders_are_private(storage):
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in storage.root.iterdir()} == {0o700}


def test_a_second_node_on_the_same_storage_is_turned_away(storage):
    first = storage.lock()
    with pytest.raises(StorageError, match="already serves"):
        storage.lock()
    os.close(first)
    os.close(storage.lock())


def test_a_storage_that_cannot_be_made_says_which_setting_to_check(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"storage\.path"):
        Storage(tmp_path / "file" / "storage").prepare()


def test_spool_names_sort_by_time_and_are_listed_oldest_first(storage):
    names = [new_spool_name() for _ in range(20)]
    for name in reversed(names):
        (storage.spool / name).touch()
    (storage.spool / "other.txt").touch()
    assert storage.spooled() == sorted(names)
    assert spool_time_s(names[0]) <= spool_time_s(names[-1])


@given(st.text())
def test_no_text_that_is_not_a_uid_becomes_part_of_a_path(text):
    storage = Storage.__new__(Storage)
    object.__setattr__(storage, "root", None)
    if is_uid(text):
        assert set(text) <= set("0123456789.")
        assert ".." not in text
    else:
        with pytest.raises(ValueError, match="UID"):
            storage.archive_path(text, "x")


@pytest.mark.parametrize("text", ["", "..", "1..2", ".1", "1.", "1.2/../3", "1.2\n", "1" * 65, "1.2.a", "\u0661.2"])
def test_hostile_uids_are_no_uids(text):
    assert not is_uid(text)
