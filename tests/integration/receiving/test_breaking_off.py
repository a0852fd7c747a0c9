"""What breaks off, what may not come, what stalls: nothing of it stays, and what came before does."""

import contextlib
import threading
import time

import pytest

from handlers.space import DiskSpace
from handlers.upper_layer import MAX_PDU
from tests.hostile.pdus import (
    ABORT,
    DATA,
    RELEASE,
    RELEASED,
    associated,
    echo_command,
    pdu,
    value,
)
from tests.integration.receiving.conftest import (
    LAST_COMMAND,
    LIMIT_S,
    MORE_DATA,
    OUT_OF_RESOURCES,
    SUCCESS,
    begin_storing,
    store,
    stored,
    until,
)


def test_a_release_in_mid_message_is_answered_and_leaves_nothing(line, storage):
    begin_storing(line, storage)
    line.send(pdu(RELEASE, bytes(4)))
    assert line.receive().kind == RELEASED
    until(lambda: not list(storage.incoming.iterdir()))


@pytest.mark.parametrize("ends", [pdu(RELEASE, bytes(4)), pdu(ABORT, bytes(4))], ids=["release", "abort"])
def test_bytes_behind_the_end_of_an_association_delay_it_by_nothing(line, storage, associations, ends):
    begin_storing(line, storage)
    line.send(ends + b"\4\0")
    until(lambda: not associations._open)
    assert not list(storage.incoming.iterdir())


@pytest.mark.parametrize("how", ["abort", "hang up"])
def test_what_came_before_a_sender_breaks_off_is_kept_and_the_rest_is_not(serve, storage, associations, how):
    with associated(serve()) as line:
        assert store(line, 7) == SUCCESS
        begin_storing(line, storage)
        if how == "abort":
            line.send(pdu(ABORT, bytes(4)))
            assert line.receive() is None
    until(lambda: not list(storage.incoming.glob("*.part")))
    assert set(stored(storage)) == {"1.2.3.7"}
    until(lambda: not associations._open)


INVALID, UNEXPECTED, UNEXPECTED_PARAMETER, UNRECOGNIZED = (2, 6), (2, 2), (2, 5), (2, 1)


@pytest.mark.parametrize(
    ("sent", "abort"),
    [
        (pdu(DATA, b""), INVALID),
        (pdu(DATA, b"", length=MAX_PDU + 1), INVALID),
        (pdu(DATA, b"", length=0xFFFFFFFF), INVALID),
        (pdu(DATA, value(1, MORE_DATA, b"x", length=3000)), INVALID),
        (pdu(DATA, value(9, MORE_DATA, b"x")), INVALID),
        (pdu(DATA, value(3, MORE_DATA, b"x")), UNEXPECTED_PARAMETER),
        (pdu(DATA, value(1, LAST_COMMAND, echo_command())), UNEXPECTED_PARAMETER),
        (pdu(1, bytes(100)), UNEXPECTED),
        (pdu(RELEASED, bytes(4)), UNEXPECTED),
        (pdu(0x55, bytes(4)), UNRECOGNIZED),
        (pdu(RELEASE, b"", length=0xFFFFFFF0), INVALID),
    ],
    ids=[
        "an empty P-DATA-TF",
        "one byte more than was agreed",
        "4 GB announced",
        "a value longer than its PDU",
        "a context not accepted",
        "data in another context",
        "a command in a data set",
        "a second request for an association",
        "the end of a release",
        "an unknown PDU",
        "an endless release",
    ],
)
def test_what_may_not_come_in_mid_message_is_aborted_at_once_and_leaves_nothing(line, storage, sent, abort):
    begin_storing(line, storage)
    line.send(sent)
    assert line.receive().abort == abort
    until(lambda: not list(storage.incoming.iterdir()))


def test_a_sender_that_stalls_in_mid_message_is_aborted_after_the_network_timeout(serve, storage, associations):
    with associated(serve(network_timeout_s=0.3)) as line:
        begin_storing(line, storage)
        assert line.receive().abort == (2, 0)
    until(lambda: not list(storage.incoming.iterdir()))
    until(lambda: not associations._open)


def test_a_sender_that_sends_longer_than_the_network_timeout_is_not_aborted(serve):
    with associated(serve(network_timeout_s=0.4)) as line:
        for number in range(1, 30):
            assert store(line, number) == SUCCESS
            time.sleep(0.03)


def test_an_idle_association_is_aborted_after_the_network_timeout(serve):
    with associated(serve(network_timeout_s=0.3)) as line:
        assert store(line) == SUCCESS
        assert line.receive().abort == (0, 0)


def trickle(line):
    """Send a byte after the other, for longer than a test may take; until nobody takes them."""
    with contextlib.suppress(OSError):
        for byte in pdu(DATA, value(1, MORE_DATA, bytes(1000)))[: 50 * LIMIT_S]:
            line.send(bytes([byte]))
            time.sleep(0.02)


@pytest.mark.parametrize("trickles", [False, True], ids=["silent", "a byte at a time"])
def test_stopping_the_server_aborts_what_is_in_mid_message_in_time(serve, servers, storage, trickles):
    with associated(serve()) as line:
        begin_storing(line, storage)
        began = time.monotonic()
        stopping = threading.Thread(target=servers.pop().stop, kwargs={"grace_s": 0})
        if trickles:
            threading.Thread(target=trickle, args=[line], daemon=True).start()
            time.sleep(0.2)
        stopping.start()
        assert line.receive().kind == ABORT
        stopping.join(LIMIT_S)
        assert time.monotonic() - began < 3
    assert list(storage.incoming.iterdir()) == []


def test_a_disk_that_is_full_is_answered_and_the_association_goes_on(line, storage, monkeypatch):
    monkeypatch.setattr(DiskSpace, "take", lambda _space, _size: False)
    assert store(line, 1) == OUT_OF_RESOURCES
    monkeypatch.undo()
    assert store(line, 2) == SUCCESS
    assert set(stored(storage)) == {"1.2.3.2"}
