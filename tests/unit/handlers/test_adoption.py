"""What a node finds where an earlier life of it received: nothing that was answered is lost, nothing else is kept."""

import pytest

from db.files import Storage
from db.incoming import Incoming
from handlers.adoption import adopt
from handlers.quarantine import Quarantine
from handlers.receipt import Seal, sealed
from tests.unit.handlers.test_identity import encoded
from tests.unit.handlers.test_store import receipt

NAME = "01795289657474102011-f880bb22.dcm"


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path)
    storage.prepare()
    return storage


@pytest.fixture
def restart(storage):
    return lambda: adopt(storage, Quarantine(storage.quarantine, quota_bytes=0))


@pytest.fixture
def left_over(storage):
    """A file as it lies when the power fails after the answer: synced, its move lost; and its bytes."""

    def leave(*, name=NAME, own_name=None, change=lambda data: data, is_sealed=True):
        file, header = Incoming(storage.incoming).take(), receipt().file_header()
        file.leave_room(len(header))
        file.write(encoded())
        if is_sealed:
            seal = Seal(own_name=own_name or file.name, spool_name=name, size=file.size, crc32=file.crc32)
            file.seal(sealed(header, seal))
        path = storage.incoming / file.name
        path.write_bytes(change(path.read_bytes()))
        return path.read_bytes()

    return leave


def test_a_whole_file_goes_where_it_was_when_it_was_answered(storage, restart, left_over, caplog):
    whole = left_over()
    restart()
    assert storage.spooled() == [NAME]
    assert (storage.spool / NAME).read_bytes() == whole
    assert list(storage.incoming.iterdir()) == []
    assert "1 instances were received" in caplog.text


def test_the_second_restart_finds_nothing(storage, restart, left_over):
    left_over()
    restart()
    (storage.spool / NAME).unlink()
    restart()
    assert storage.spooled() == []


@pytest.mark.parametrize(
    "leftover",
    [
        {"is_sealed": False},
        {"name": ""},
        {"name": "../../evil"},
        {"change": lambda _: b""},
        {"change": lambda d: d[:90]},
    ],
    ids=["not whole", "refused", "a name that is none", "empty", "a header in part"],
)
def test_what_was_never_answered_with_success_goes(storage, restart, left_over, leftover, tmp_path):
    left_over(**leftover)
    restart()
    assert [*storage.spool.iterdir(), *storage.incoming.iterdir(), *storage.quarantine.rglob("*")] == []
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-20] + bytes(20),
        lambda data: data[:700],
    ],
    ids=["short", "long", "zeros", "cut"],
)
def test_a_sealed_file_whose_bytes_are_not_those_that_came_is_set_aside_and_told(
    storage, restart, left_over, change, caplog
):
    changed = left_over(change=change)
    restart()
    assert storage.spooled() == []
    (kept,) = storage.quarantine.rglob("*.dcm")
    assert kept.name == NAME
    assert kept.read_bytes() == changed
    assert f"quarantine/acknowledged/{NAME}" in caplog.text


@pytest.mark.parametrize("damage", [slice(140, 150), slice(300, 320)], ids=["group length", "circumstances"])
def test_a_file_whose_header_is_damaged_is_not_deleted(storage, restart, left_over, damage):
    def damaged(data):
        return data[: damage.start] + b"\xff" * (damage.stop - damage.start) + data[damage.stop :]

    changed = left_over(change=damaged)
    restart()
    (kept,) = storage.quarantine.rglob("*.dcm")
    assert kept.read_bytes() == changed


def test_what_an_older_version_left_in_the_spool_goes(storage, restart):
    (storage.spool / f"{NAME}.part").write_bytes(b"half")
    restart()
    assert list(storage.spool.iterdir()) == []


def test_a_file_that_cannot_be_read_stays_for_the_next_start(storage, restart, left_over, monkeypatch, caplog):
    left_over()

    def broken(_path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("handlers.adoption.read_file_meta_info", broken)
        restart()
    assert "Input/output error" in caplog.text
    restart()
    assert storage.spooled() == [NAME]
