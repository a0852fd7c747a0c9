"""Anything at all, sent to a port: each answer is one that the standard knows, and the node goes on.

Examples beyond hypothesis' own are the corpus: what once went wrong here or elsewhere.
"""

import itertools
import socket
import struct

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.hostile.conftest import FULL
from tests.hostile.pdus import (
    ABORT,
    AC,
    CT,
    DATA,
    EXPLICIT,
    IMPLICIT,
    RELEASE,
    RELEASED,
    RJ,
    RQ,
    USER_INFORMATION,
    VERIFICATION,
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

fuzz = settings(
    max_examples=3000 if FULL else 60,
    deadline=None,
    derandomize=not FULL,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SOURCES_AND_REASONS = {(0, 0), *((2, reason) for reason in (0, 1, 2, 4, 5, 6))}
REJECTIONS = {(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 7), (1, 2, 1), (1, 2, 2), (2, 2, 1), (2, 3, 1), (2, 3, 2)}


def answers(line):
    """Say that no more comes, and return all answers; each must be one that there is."""
    try:
        line.socket.shutdown(socket.SHUT_WR)
    except OSError:
        return []
    received = []
    while (answer := line.receive()) is not None:
        received.append(answer)
        assert answer.kind in {AC, RJ, DATA, RELEASED, ABORT}
        if answer.kind == ABORT:
            assert answer.abort in SOURCES_AND_REASONS
        if answer.kind == RJ:
            assert answer.rejection in REJECTIONS
    return received


octets = st.binary(max_size=80)
uids = st.one_of(
    st.sampled_from([CT, VERIFICATION, EXPLICIT, IMPLICIT, b"1.2.840.10008.1.20.1", b"1.2.840.10008.5.1.4.1.2.2.1"]),
    st.from_regex(rb"[0-9.]{0,70}", fullmatch=True),
    octets,
)
identifiers = st.one_of(st.sampled_from([1, 3]), st.integers(0, 255))


@st.composite
def lengths(draw, body):
    """Of what there is, mostly; else of more or less."""
    return draw(st.one_of(st.none(), st.none(), st.none(), st.integers(0, len(body) + 9), st.just(0xFFFF)))


@st.composite
def items(draw, kinds, bodies=octets):
    body = draw(bodies)
    return item(draw(kinds), body, length=draw(lengths(body)))


known_items = st.one_of(
    st.builds(lambda size: item(0x51, struct.pack(">I", size)), st.integers(0, 2**32 - 1)),
    st.builds(lambda a, b: item(0x53, struct.pack(">HH", a, b)), st.integers(0, 65535), st.integers(0, 65535)),
    st.builds(
        lambda u, a, b: item(0x54, struct.pack(">H", len(u)) + u + bytes([a, b])),
        uids,
        st.integers(0, 255),
        st.integers(0, 255),
    ),
    st.builds(lambda u, data: item(0x56, struct.pack(">H", len(u)) + u + data), uids, octets),
    st.builds(
        lambda u, s, rest: item(0x57, struct.pack(">H", len(u)) + u + struct.pack(">H", len(s)) + s + rest),
        uids,
        uids,
        octets,
    ),
    st.builds(
        lambda kind, asks, first, second: item(
            0x58, bytes([kind, asks]) + struct.pack(">H", len(first)) + first + struct.pack(">H", len(second)) + second
        ),
        st.integers(0, 7),
        st.integers(0, 2),
        octets,
        octets,
    ),
)
user_information = st.lists(st.one_of(known_items, items(st.integers(0x4F, 0x5A))), max_size=5).map(b"".join)
contexts = st.lists(
    st.one_of(
        st.builds(lambda i, a, t: context(i, a, *t), st.integers(0, 255), uids, st.lists(uids, max_size=3)),
        items(st.sampled_from([0x10, 0x20, 0x21, 0x30, 0x50, 0x99])),
    ),
    max_size=4,
)


@fuzz
@given(contexts=contexts, information=user_information, application=uids, version=st.integers(0, 3))
@example([context(1, CT, EXPLICIT)], b"", b"1.2.840.10008.3.1.1.1", 1)
@example([], USER_INFORMATION, b"1.2.840.10008.3.1.1.1", 1)
@example([context(1, b"", b"")], USER_INFORMATION, b"1.2.840.10008.3.1.1.1", 1)
@example([context(1, CT)], USER_INFORMATION, b"1.2.840.10008.3.1.1.1", 1)
def test_any_request_is_answered(port, contexts, information, application, version):
    with Line(port) as line:
        line.send(
            pdu(
                RQ,
                request_body(contexts=contexts, user_information=information, application=application, version=version),
            )
        )
        assert line.receive() is not None
        answers(line)


@fuzz
@given(information=user_information)
@example(USER_INFORMATION + item(0x58, b"\1\1\0\0"))
@example(item(0x51, b"\0\0\0\1") + item(0x52, b""))
@example(USER_INFORMATION + item(0x58, b"\2\1\0\3abc\0\0"))
@example(USER_INFORMATION + item(0x54, struct.pack(">H", 0)))
@example(USER_INFORMATION + item(0x54, struct.pack(">H", len(CT)) + CT + b"\0\0"))
@example(USER_INFORMATION + item(0x54, struct.pack(">H", len(CT)) + CT + b"\0\1"))
@example(USER_INFORMATION + item(0x54, struct.pack(">H", len(CT)) + CT + b"\1\1"))
@example(USER_INFORMATION + item(0x54, struct.pack(">H", len(VERIFICATION)) + VERIFICATION + b"\0\1"))
def test_any_user_information_is_answered(port, information):
    with Line(port) as line:
        line.send(request(user_information=information))
        answer = line.receive()
        assert answer is not None
        assert answer.kind in {AC, RJ, ABORT}
        if answer.kind == AC:  # then it is an association like any other
            line.send(pdu(RELEASE, bytes(4)))
            assert line.receive().kind == RELEASED


@fuzz
@given(data=st.data())
def test_a_request_of_which_octets_were_changed_is_answered_or_waited_for(port, data):
    octets = bytearray(request())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    with Line(port) as line:
        line.send(bytes(octets))
        answers(line)


values = st.builds(
    lambda i, control, data, length: value(i, control, data, length=length),
    identifiers,
    st.one_of(st.sampled_from([0, 1, 2, 3]), st.integers(0, 255)),
    st.one_of(octets, st.just(echo_command()), st.just(command(store_elements(b"1.2.3")))),
    st.one_of(st.none(), st.none(), st.integers(0, 200), st.just(0xFFFFFFFF)),
)
anything = st.one_of(
    st.lists(values, max_size=4).map(lambda parts: pdu(DATA, b"".join(parts))),
    st.builds(
        lambda kind, body, length: pdu(kind, body, length=length),
        st.integers(0, 255),
        octets,
        st.one_of(st.none(), st.none(), st.integers(0, 2**32 - 1)),
    ),
)


@fuzz
@given(parts=st.lists(anything, min_size=1, max_size=5))
@example([pdu(DATA, value(1, 3, command([])))])
@example([pdu(DATA, value(1, 1, b"")), pdu(DATA, value(1, 3, b""))])
@example([pdu(DATA, value(1, 3, command(store_elements(b"1.2.3")))), pdu(RELEASE, bytes(4))])
@example([pdu(ABORT, b"\0\0\2\6")])
@example([pdu(DATA, value(3, 3, echo_command())), pdu(DATA, value(3, 3, echo_command(2))), request()])
def test_anything_within_an_association_is_answered_by_what_there_is(port, parts):
    with associated(port) as line:
        line.send(*parts)
        answers(line)


numbers = st.one_of(st.sampled_from([0x0000, 0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x1000]), st.integers(0, 0xFFFF))
elements = st.builds(
    lambda group, number, body, length: element(group, number, body, length=length),
    st.sampled_from([0, 0, 0, 8]),
    numbers,
    st.one_of(octets, st.integers(0, 65535).map(lambda n: struct.pack("<H", n)), uids.map(uid)),
    st.one_of(st.none(), st.none(), st.none(), st.integers(0, 300), st.just(0xFFFFFFFF)),
)
FIELDS = [0x0001, 0x0020, 0x0021, 0x0010, 0x0030, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, 0x0FFF, 0x8001]
commands = st.one_of(
    st.lists(elements, max_size=8),
    st.builds(
        lambda field, more: [
            element(0, 2, uid(CT)),
            element(0, 0x0100, struct.pack("<H", field)),
            element(0, 0x0110, b"\1\0"),
            element(0, 0x0800, b"\0\0"),
            *more,
        ],
        st.sampled_from(FIELDS),
        st.lists(elements, max_size=4),
    ),
    st.builds(
        lambda at, changed: [*store_elements(b"1.2.3")[:at], changed, *store_elements(b"1.2.3")[at + 1 :]],
        st.integers(0, 5),
        elements,
    ),
)


@fuzz
@given(
    identifier=st.sampled_from([1, 3]), elements=commands, data_set=octets, length=st.one_of(st.none(), octets.map(len))
)
@example(1, store_elements(b"1.2.3"), element(8, 0x16, b"1.2.3\0"), None)
@example(
    1, [element(0, 0x0100, b"\1\x80"), *store_elements(b"1.2.3")[:1], *store_elements(b"1.2.3")[2:]], b"12345678", None
)
@example(1, store_elements(b"\xff\xfe"), element(8, 0x18, b"\xff\xfe"), None)
@example(1, [element(0, 0x0100, b"\x20\0"), element(0, 0x0800, b"\0\0")], b"", None)
@example(3, [element(0, 0x0100, b"\x30\0"), element(0, 0x0800, b"\0\0")], b"", None)
@example(3, [element(0, 0x0100, b"\xff\x0f"), element(0, 0x0120, b"\1\0"), element(0, 0x0800, b"\1\1")], b"", None)
@example(1, [element(0, 0x0100, b"\1\x80"), element(0, 0x0120, b"\1\0"), element(0, 0x0900, b"\0\0")], b"", None)
def test_any_command_set_is_answered_by_what_there_is(port, identifier, elements, data_set, length):
    with associated(port) as line:
        line.send(
            pdu(DATA, value(identifier, 3, command(elements, length=length))),
            pdu(DATA, value(identifier, 2, data_set)),
            pdu(RELEASE, bytes(4)),
        )
        answers(line)


@fuzz
@given(cuts=st.lists(st.integers(1, 400), max_size=12))
@pytest.mark.parametrize("kind", ["echo", "store"])
def test_messages_in_any_pieces_are_answered_as_whole_ones(port, kind, cuts):
    """Cut at any place, by TCP as by presentation data values, a message means the same."""
    octets = echo_command() if kind == "echo" else command(store_elements(b"1.2.3"))
    identifier = 3 if kind == "echo" else 1
    pieces = cut(octets, cuts)
    parts = [value(identifier, 1, piece) for piece in pieces[:-1]] + [value(identifier, 3, pieces[-1])]
    if kind == "store":
        parts.append(value(identifier, 2, b"no data set"))
    with associated(port) as line:
        for piece in cut(b"".join(pdu(DATA, part) for part in parts) + pdu(RELEASE, bytes(4)), cuts):
            line.send(piece)
        assert [line.receive().kind, line.receive().kind] == [DATA, RELEASED]


def cut(octets, places):
    """Return octets in pieces, none of them empty."""
    ends = sorted({0, len(octets), *(place % len(octets) for place in places)})
    return [octets[start:end] for start, end in itertools.pairwise(ends)]
