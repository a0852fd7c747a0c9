"""PDUs that may not come, or not so, or not now: the abort that the state machine prescribes, at once.

References
----------
PS3.8 9.2.3 (table 9-10: AA-1 before an association, AA-8 within one), 9.3.4 and 9.3.8 (reasons), 9.1.5 (ARTIM).
"""

import struct
import time

import pytest

from tests.hostile.conftest import MOST_ASSOCIATIONS, NETWORK_TIMEOUT_S
from tests.hostile.pdus import (
    ABORT,
    AC,
    APPLICATION,
    CT,
    DATA,
    EXPLICIT,
    IMPLICIT,
    RELEASE,
    RELEASED,
    RJ,
    RQ,
    USER_INFORMATION,
    Line,
    associated,
    command,
    context,
    echo_command,
    element,
    item,
    pdu,
    request,
    request_body,
    store_elements,
    uid,
    value,
)

BY_USER = (0, 0)
UNRECOGNIZED, UNEXPECTED, UNEXPECTED_PARAMETER, INVALID = (2, 1), (2, 2), (2, 5), (2, 6)
ARTIM_S = 5
AT_ONCE_S = 1.5
TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(506)

FIRST = {
    "garbage": b"\xde\xad\xbe\xef" * 64,
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a greeting of TLS": TLS_HELLO,
    "data": pdu(DATA, value(1, 3, bytes(20))),
    "an acceptance": pdu(AC, request_body()),
    "a rejection": pdu(RJ, b"\0\1\1\1"),
    "a release": pdu(RELEASE, bytes(4)),
    "the end of a release": pdu(RELEASED, bytes(4)),
    "an endless request": pdu(RQ, request_body(), length=0xFFFFFFF0),
    "an empty request": pdu(RQ),
    "an AE title of no letters at all": request(calling=b"\xc3\x9cber\xff"),
    "a short request": pdu(RQ, request_body()[:30]),
    "a request with a context cut off": pdu(RQ, request_body(contexts=[context(1, CT, EXPLICIT)[:9]])),
    "a request of zeros": pdu(RQ, bytes(500)),
    "a request with an endless item": pdu(RQ, request_body()[:68] + item(0x10, APPLICATION, length=0xFFFF)),
}


@pytest.mark.parametrize("sent", FIRST.values(), ids=FIRST)
def test_what_is_no_request_is_aborted_at_once(port, sent):
    started = time.monotonic()
    with Line(port) as line:
        line.send(sent)
        assert line.receive().abort == BY_USER
        assert line.receive() is None
    assert time.monotonic() - started < AT_ONCE_S


def test_an_abort_before_an_association_is_the_end(port):
    with Line(port) as line:
        line.send(pdu(ABORT, bytes(4)))
        assert line.receive() is None


REJECTED = {
    "another version of the protocol": ({"version": 2}, (1, 2, 2)),
    "another application context": ({"application": b"1.2.840.10008.3.1.1.9"}, (1, 1, 2)),
}


@pytest.mark.parametrize(("changes", "rejection"), REJECTED.values(), ids=REJECTED)
def test_a_request_that_cannot_be_met_is_rejected_with_the_reason(port, changes, rejection):
    with Line(port) as line:
        assert line.associate(**changes).rejection == rejection


MANY = [context(2 * at + 1, CT, *[b"1.2.840.10008.1.2.4.%d" % ts for ts in range(50, 88)]) for at in range(128)]
ODD_BUT_RIGHT = {
    "128 contexts of 38 transfer syntaxes": {"contexts": MANY},
    "an AE title of odd characters": {"calling": b"A B*?"},
    "an AE title of 16 letters": {"calling": b"ABCDEFGHIJKLMNOP"},
    "a PDU of any length": {"user_information": item(0x51, bytes(4)) + item(0x52, b"1.2.3")},
    "an unknown item of user information": {"user_information": USER_INFORMATION + item(0x7F, b"what is this")},
    "a role that is none": {
        "user_information": USER_INFORMATION + item(0x54, struct.pack(">H", len(CT)) + CT + bytes(2))
    },
    "an unknown abstract syntax": {"contexts": [context(1, b"1.2.3", EXPLICIT), context(3, CT, EXPLICIT)]},
    "a private transfer syntax alone": {"contexts": [context(1, CT, b"1.2.826.0.1.3680043.8.498.7")]},
}


@pytest.mark.parametrize("changes", ODD_BUT_RIGHT.values(), ids=ODD_BUT_RIGHT)
def test_an_odd_request_is_taken(port, changes):
    with associated(port, **changes) as line:
        line.send(pdu(RELEASE, bytes(4)))
        assert line.receive().kind == RELEASED


LATER = {
    "data of 4 GB": (pdu(DATA, bytes(100_000), length=0xFFFFFFF0), INVALID),
    "data of a byte more than agreed": (pdu(DATA, b"", length=131_073), INVALID),
    "data without a value": (pdu(DATA), INVALID),
    "a value without end": (pdu(DATA, value(1, 3, bytes(20), length=0x7FFFFFFF)), INVALID),
    "a value that is too short": (pdu(DATA, value(1, 3, b"", length=1)), INVALID),
    "a value of no length": (pdu(DATA, bytes(4)), INVALID),
    "a value cut off": (pdu(DATA, value(1, 3, bytes(20))[:3]), INVALID),
    "a context that nobody agreed on": (pdu(DATA, value(99, 3, echo_command())), INVALID),
    "a context of number 0": (pdu(DATA, value(0, 3, echo_command())), INVALID),
    "a data set without a command": (pdu(DATA, value(1, 2, bytes(20))), UNEXPECTED_PARAMETER),
    "another request": (request(), UNEXPECTED),
    "an acceptance": (pdu(AC, request_body()), UNEXPECTED),
    "the end of a release": (pdu(RELEASED, bytes(4)), UNEXPECTED),
    "an unknown PDU": (pdu(0x42, bytes(4)), UNRECOGNIZED),
    "a release of 4 GB": (pdu(RELEASE, bytes(4), length=0xFFFFFFF0), INVALID),
    "a command of zeros": (pdu(DATA, value(1, 3, bytes(200))), INVALID),
    "a command of noise": (pdu(DATA, value(1, 3, bytes(range(1, 200)))), INVALID),
    "a command without a field": (pdu(DATA, value(1, 3, command([element(0, 2, uid(CT))]))), INVALID),
    "an unknown command": (pdu(DATA, value(1, 3, command([element(0, 0x0100, b"\x77\x77")]))), INVALID),
    "an element without end": (
        pdu(DATA, value(1, 3, command([element(0, 0x0100, b"\1\0", length=0xFFFFFFFF)]))),
        INVALID,
    ),
    "two messages at a time": (
        pdu(DATA, value(1, 3, command(store_elements(b"1.2.3"))) + value(3, 3, echo_command())),
        UNEXPECTED_PARAMETER,
    ),
}


@pytest.mark.parametrize(("sent", "abort"), LATER.values(), ids=LATER)
def test_what_may_not_come_within_an_association_is_aborted_at_once_with_the_reason(port, sent, abort):
    started = time.monotonic()
    with associated(port) as line:
        line.send(sent)
        assert line.receive().abort == abort
        assert line.receive() is None
    assert time.monotonic() - started < AT_ONCE_S


def test_a_command_that_never_ends_is_aborted(port):
    with associated(port) as line:
        for _ in range(100):
            line.send(pdu(DATA, value(3, 1, bytes(4096))))
        answer = line.receive()
        assert answer is None or answer.abort == INVALID  # where the peer still sends, the end may come as a reset


def test_a_command_of_a_byte_at_a_time_is_answered(port):
    with associated(port) as line:
        octets = echo_command(7)
        pieces = [value(3, 1 if at + 1 < len(octets) else 3, octets[at : at + 1]) for at in range(len(octets))]
        line.send(*(pdu(DATA, piece) for piece in pieces))
        assert line.receive().kind == DATA


def test_a_connection_that_breaks_in_the_middle_of_anything_is_forgotten(port):
    with Line(port) as line:
        line.send(request()[:40])
    with associated(port) as line:
        line.send(pdu(DATA, value(1, 3, bytes(200)))[:50])
    with associated(port) as line:
        line.send(pdu(DATA, value(1, 3, command(store_elements(b"1.2.3")))), pdu(DATA, value(1, 0, bytes(1000))))


@pytest.mark.parametrize("instance", [b"1.2.3/../../x", b"../../etc/x", b"", b"1" * 65, b"1.2\0.3", b"\xff\xfe"])
def test_a_uid_that_is_none_reaches_no_path_and_is_refused(node, port, instance):
    data_set = element(8, 0x18, uid(instance))
    with associated(port, contexts=[context(1, CT, IMPLICIT)]) as line:
        line.send(pdu(DATA, value(1, 3, command(store_elements(instance)))), pdu(DATA, value(1, 2, data_set)))
        answer = line.receive()
    assert answer.kind in {DATA, ABORT}
    if answer.kind == DATA:
        assert status(answer.body) & 0xF000 in {0xA000, 0xC000}
    root = node.storage.root.resolve()
    assert not [path for path in root.parent.rglob("x*") if root not in path.parents]


def status(body):
    """Return the status of the response in a P-DATA-TF (PS3.7 E.1: 0000,0900)."""
    at = body.index(struct.pack("<HHI", 0, 0x0900, 2))
    return struct.unpack_from("<H", body, at + 8)[0]


def test_who_does_not_ask_for_an_association_is_hung_up_on_after_artim(port):
    started = time.monotonic()
    with Line(port) as idle, Line(port) as half, Line(port) as slow:
        half.send(request()[:40])
        octets, last_s = request(), 0.0
        for at in range(1000):
            if time.monotonic() - started > ARTIM_S - 0.2:
                break
            slow.send(octets[at % 60 : at % 60 + 1] if at >= 6 else octets[at : at + 1])
            time.sleep(0.1)
            last_s = time.monotonic() - started
        assert last_s < ARTIM_S
        for line in (idle, half, slow):
            assert line.receive() is None
        assert ARTIM_S - 0.5 < time.monotonic() - started < ARTIM_S + 1.5


def test_an_association_that_says_nothing_is_aborted_after_the_time_that_is_set(port):
    started = time.monotonic()
    with associated(port) as idle, associated(port) as halfway:
        halfway.send(pdu(DATA, value(1, 3, bytes(200)))[:50])
        for line in (idle, halfway):
            assert line.receive(NETWORK_TIMEOUT_S + 3).kind == ABORT
    assert NETWORK_TIMEOUT_S - 0.5 < time.monotonic() - started < NETWORK_TIMEOUT_S + 3


def test_one_association_too_many_is_rejected_for_the_moment(port):
    lines = [associated(port) for _ in range(MOST_ASSOCIATIONS)]
    try:
        with Line(port) as line:
            assert line.associate().rejection == (2, 3, 2)  # transient, presentation related, local limit exceeded
    finally:
        for line in lines:
            line.send(pdu(RELEASE, bytes(4)))
            assert line.receive().kind == RELEASED
            line.socket.close()
