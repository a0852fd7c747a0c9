"""Hundreds of connections that want nothing, or want it slowly: a legitimate sender notices none of them."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from tests.hostile.conftest import FULL, MOST_ASSOCIATIONS, stores
from tests.hostile.pdus import AC, CT, Line, associated, context, echoes, request
from tests.processes import LOOPBACK

ELSEWHERE = "127.0.0.2"
"""Another address of this machine."""
MANY = 200
MORE_THAN_WAIT = 700 if FULL else 400
DELAY_S = 1.0
LARGE = 20 if FULL else 3
TRIES = 5 if FULL else 2


@pytest.fixture
def open_line(port):
    """Open connections that last as long as the test."""
    with ExitStack() as lines:

        def connect(source=LOOPBACK):
            connection = socket.create_connection((LOOPBACK, port), timeout=5, source_address=(source, 0))
            return lines.enter_context(connection)

        yield connect


def served_within(node, port, images):
    """Return the longest time that an echo or a store takes, connection and all."""
    longest = 0.0
    for _ in range(TRIES):
        for served in (lambda: echoes(port), lambda: stores(node, images)):
            started = time.monotonic()
            assert served()
            longest = max(longest, time.monotonic() - started)
    return longest


@pytest.mark.parametrize("source", [LOOPBACK, ELSEWHERE])
def test_idle_and_slow_connections_delay_nobody(node, port, images, open_line, source):
    alone = served_within(node, port, images)
    lines = [open_line(source) for _ in range(MANY)]
    stop = threading.Event()

    def trickle():
        for octet in request()[:60]:
            for line in lines[MANY // 2 :]:
                try:
                    line.send(bytes([octet]))
                except OSError:
                    return
            if stop.wait(0.05):
                return

    slow = threading.Thread(target=trickle)
    slow.start()
    try:
        assert served_within(node, port, images) - alone < DELAY_S
    finally:
        stop.set()
        slow.join()


def test_more_connections_than_may_wait_drive_out_each_other_and_nobody_else(node, port, images, open_line):
    alone = served_within(node, port, images)
    patient = open_line(LOOPBACK)
    for _ in range(MORE_THAN_WAIT):
        open_line(ELSEWHERE)
    assert served_within(node, port, images) - alone < DELAY_S
    patient.settimeout(0.2)
    with pytest.raises(TimeoutError):
        patient.recv(1)  # not ended in favour of those who came later


def test_associations_that_say_nothing_delay_nobody_who_still_finds_room(node, port, images):
    alone = served_within(node, port, images)
    with ExitStack() as lines:
        for _ in range(MOST_ASSOCIATIONS - 2):
            lines.enter_context(associated(port))
        assert served_within(node, port, images) - alone < DELAY_S


def test_requests_without_end_are_rejected_as_they_come(port):
    """Whoever is beyond the limit costs no thread and waits for nothing."""
    with ExitStack() as lines:
        for _ in range(MOST_ASSOCIATIONS):
            lines.enter_context(associated(port))
        started = time.monotonic()
        for _ in range(MANY):
            with Line(port) as line:
                assert line.associate().rejection == (2, 3, 2)
        assert time.monotonic() - started < MANY * 0.05


def test_the_largest_requests_delay_nobody(node, port, images):
    """Each takes up to a second to read, in which others are let in."""
    contexts = [
        context(2 * at + 1, CT, *(b"1.2.840.10008.1.2.4.%d" % ts for ts in range(50, 114))) for at in range(128)
    ]
    alone = served_within(node, port, images)
    with ExitStack() as lines:
        large = [lines.enter_context(Line(port)) for _ in range(LARGE)]
        for line in large:
            line.send(request(contexts=contexts))
        assert served_within(node, port, images) - alone < DELAY_S
        assert [line.receive(60).kind for line in large] == [AC] * LARGE
