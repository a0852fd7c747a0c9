"""Room on the disk: what is accepted near the low-water mark, and what the log says of it."""

import logging
from types import SimpleNamespace

import pytest

from handlers import space as module
from handlers.space import DiskSpace

MB = 1_000_000


class Disk:
    """A file system of which the test says how full it is, and a clock."""

    def __init__(self, free):
        self.free = free
        self.asked = 0
        self.now = 0.0

    def statvfs(self, _folder):
        self.asked += 1
        return SimpleNamespace(f_bavail=self.free, f_frsize=1)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk(200 * MB)
    monkeypatch.setattr(module.os, "statvfs", disk.statvfs)
    return disk


@pytest.fixture
def space(disk, tmp_path):
    return DiskSpace(tmp_path, low_water_bytes=100 * MB, clock=lambda: disk.now)


def test_nothing_is_accepted_that_would_leave_less_than_the_mark(space):
    assert space.take(60 * MB)
    assert not space.take(60 * MB)
    assert not space.take(40 * MB + 1)


def test_what_was_accepted_within_a_second_counts_without_a_look_at_the_disk(space, disk):
    assert sum(space.take(1 * MB) for _ in range(200)) == 100
    assert disk.asked == 1
    disk.now = 1.0
    assert space.take(1 * MB)
    assert disk.asked == 2


def test_the_log_has_one_line_for_its_begin_and_one_for_its_end(space, disk, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(50):
        space.take(90 * MB)
        space.take(1 * MB)
    disk.free, disk.now = 300 * MB, 2.0
    for _ in range(50):
        space.take(1000)
    assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]
    assert "low_water_mb (100 MB)" in caplog.text
    assert "make room" in caplog.text


def test_it_opens_again_only_with_a_little_more_room_than_the_mark(space, disk):
    disk.free = 90 * MB
    assert not space.take(1)
    disk.free, disk.now = 105 * MB, 2.0
    assert not space.take(1)
    disk.free, disk.now = 111 * MB, 4.0
    assert space.take(1)


def test_its_end_is_told_also_when_nobody_sends(space, disk, caplog):
    caplog.set_level(logging.INFO)
    disk.free = 1
    space.take(1)
    space.look()
    disk.free = 300 * MB
    space.look()
    assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]


def test_without_a_mark_the_disk_is_filled(disk, tmp_path):
    disk.free = 0
    assert DiskSpace(tmp_path, low_water_bytes=0).take(10 * MB)
