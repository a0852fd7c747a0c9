"""Messages are put together right, however they are cut."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from handlers.command_set import read_command
from handlers.messages import LONGEST_COMMAND, LONGEST_OTHER_DATA_SET, Answer, Messages, Other
from handlers.upper_layer import AbortReason, ProtocolError, fragments
from tests.hostile.pdus import command, echo_command, element, store_elements, value

CONTEXTS = {1: ExplicitVRLittleEndian, 3: ImplicitVRLittleEndian}
MORE_DATA, MORE_COMMAND, LAST_DATA, LAST_COMMAND = range(4)
STORE = command(store_elements(b"1.2.3", message_id=7))
FIND = command(
    [element(0, 0x0100, struct.pack("<H", 0x0020)), element(0, 0x0110, b"\1\0"), element(0, 0x0800, b"\0\0")]
)


class Taker:
    """Takes data sets and answers each with a status of its own."""

    def __init__(self):
        self.begun, self.stored, self.abandoned, self.status = [], [], 0, 0

    def begin(self, request, transfer_syntax_uid):
        self.begun.append((request.sop_instance_uid, transfer_syntax_uid))
        self.under_way = b""
        return self

    def write(self, chunk):
        self.under_way += bytes(chunk)

    def finish(self):
        self.stored.append(self.under_way)
        return self.status

    def abandon(self):
        self.abandoned += 1


@pytest.fixture
def taker():
    return Taker()


@pytest.fixture
def messages(taker):
    return Messages(CONTEXTS, taker.begin)


def take(messages, *values):
    return list(messages.take(memoryview(b"".join(values))))


def cut(data, sizes):
    """Cut bytes into pieces of these sizes, the rest in one."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


SIZES = st.lists(st.integers(0, 40), max_size=8)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60), SIZES, SIZES), max_size=4), st.data())
def test_messages_cut_anyhow_arrive_whole_and_in_order(wanted, data):
    """C-STORE and C-FIND requests in turn; fragments of any size, also empty ones, as many to a PDU as may be."""
    taker = Taker()
    messages = Messages(CONTEXTS, taker.begin)
    values = []
    for is_store, payload, command_sizes, data_sizes in wanted:
        pieces = cut(STORE if is_store else FIND, command_sizes)
        values += [value(1, LAST_COMMAND if n == len(pieces) - 1 else MORE_COMMAND, p) for n, p in enumerate(pieces)]
        pieces = cut(payload, data_sizes)
        values += [value(1, LAST_DATA if n == len(pieces) - 1 else MORE_DATA, p) for n, p in enumerate(pieces)]
    outcomes = []
    while values:
        count = data.draw(st.integers(1, len(values)))
        outcomes += take(messages, *values[:count])
        values = values[count:]
    assert taker.stored == [payload for is_store, payload, *_ in wanted if is_store]
    assert sum(isinstance(one, Answer) for one in outcomes) == len(taker.stored)
    passed_on = [part for one in outcomes if isinstance(one, Other) for part in fragments(memoryview(one.pdu)[6:])]
    expected = [(FIND, payload) for is_store, payload, *_ in wanted if not is_store]
    assert b"".join(bytes(p.data) for p in passed_on if p.of_command) == b"".join(c for c, _ in expected)
    assert b"".join(bytes(p.data) for p in passed_on if not p.of_command) == b"".join(d for _, d in expected)
    assert messages.between


def test_the_answer_names_the_request_and_its_status(messages, taker):
    taker.status = 0xA700
    (answer,) = take(messages, value(3, LAST_COMMAND, STORE), value(3, LAST_DATA, b"data"))
    assert answer.context_id == 3
    assert taker.begun == [("1.2.3", ImplicitVRLittleEndian)]
    command_set = read_command(answer.command_set)
    assert (command_set.field, command_set.values[0x0120], command_set.values[0x0900]) == (0x8001, b"\7\0", b"\0\xa7")


def test_a_message_is_under_way_from_its_first_fragment_to_its_last(messages):
    assert messages.between
    take(messages, value(1, MORE_COMMAND, STORE[:8]))
    assert not messages.between
    take(messages, value(1, LAST_COMMAND, STORE[8:]))
    assert not messages.between
    take(messages, value(1, LAST_DATA, b""))
    assert messages.between


def test_a_store_request_without_data_set_is_answered_at_once(messages, taker):
    elements = store_elements(b"1.2.3")
    elements[4] = element(0, 0x0800, struct.pack("<H", 0x0101))
    assert len(take(messages, value(1, LAST_COMMAND, command(elements)))) == 1
    assert taker.stored == [b""]
    assert messages.between


def test_an_echo_goes_on_as_it_came(messages):
    (other,) = take(messages, value(3, MORE_COMMAND, echo_command()[:9]), value(3, LAST_COMMAND, echo_command()[9:]))
    assert other.pdu[6:] == value(3, MORE_COMMAND, echo_command()[:9]) + value(3, LAST_COMMAND, echo_command()[9:])
    assert messages.between


UNEXPECTED, INVALID = AbortReason.UNEXPECTED_PDU_PARAMETER, AbortReason.INVALID_PDU_PARAMETER_VALUE


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([value(5, LAST_COMMAND, STORE)], INVALID),
        ([value(1, LAST_DATA, b"data")], UNEXPECTED),
        ([value(1, MORE_COMMAND, STORE[:8]), value(1, LAST_DATA, b"data")], UNEXPECTED),
        ([value(1, LAST_COMMAND, STORE), value(1, LAST_COMMAND, STORE)], UNEXPECTED),
        ([value(1, LAST_COMMAND, STORE), value(3, LAST_DATA, b"data")], UNEXPECTED),
        ([value(1, MORE_COMMAND, STORE[:8]), value(3, LAST_COMMAND, STORE[8:])], UNEXPECTED),
        ([value(1, LAST_COMMAND, b"\xff" * 20)], INVALID),
        ([value(1, LAST_COMMAND, command([element(0, 0x0100, b"\1\0"), element(0, 0x0800, b"\0\0")]))], INVALID),
        ([value(1, LAST_COMMAND, command([element(0, 0x0100, b"\7\7"), element(0, 0x0800, b"\1\1")]))], INVALID),
        ([value(1, MORE_COMMAND, bytes(LONGEST_COMMAND)), value(1, MORE_COMMAND, b"\0")], INVALID),
        ([], INVALID),
    ],
    ids=[
        "a context not accepted",
        "data before a command",
        "data in a command",
        "a command in data",
        "data in another context",
        "a command in two contexts",
        "no command set",
        "no message id",
        "an unknown message",
        "a command without end",
        "nothing",
    ],
)
def test_what_may_not_come_is_refused_for_the_reason_of_the_standard(messages, values, reason):
    with pytest.raises(ProtocolError) as refused:
        take(messages, *values)
    assert refused.value.reason == reason


def test_what_is_not_stored_is_bounded_in_memory(messages):
    take(messages, value(1, LAST_COMMAND, FIND))
    piece = value(1, MORE_DATA, bytes(LONGEST_OTHER_DATA_SET // 4 - 6))
    for _ in range(4):
        assert len(take(messages, piece)) == 1
    with pytest.raises(ProtocolError):
        take(messages, piece)


def test_an_abandoned_message_leaves_room_for_the_next(messages, taker):
    take(messages, value(1, LAST_COMMAND, STORE), value(1, MORE_DATA, b"half"))
    messages.abandon()
    assert (taker.abandoned, taker.stored, messages.between) == (1, [], True)
    take(messages, value(1, LAST_COMMAND, STORE), value(1, LAST_DATA, b"whole"))
    assert taker.stored == [b"whole"]
