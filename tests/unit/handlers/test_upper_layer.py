import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.upper_layer import (
    AbortReason,
    PDUType,
    ProtocolError,
    command_fragments,
    data_pdu,
    fragments,
    read_header,
)
from tests.hostile.pdus import value

ITEM = st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=50))


@given(st.lists(ITEM, min_size=1, max_size=6))
def test_every_presentation_data_value_is_found_as_it_was_put_in(values):
    body = b"".join(value(*one) for one in values)
    found = list(fragments(memoryview(body)))
    assert [(one.context_id, bytes(one.data)) for one in found] == [(one[0], one[2]) for one in values]
    assert [(one.of_command, one.last) for one in found] == [(bool(v[1] & 1), bool(v[1] & 2)) for v in values]
    assert b"".join(bytes(one.item) for one in found) == body


@given(st.lists(ITEM, min_size=1, max_size=3), st.data())
def test_values_that_do_not_fill_their_pdu_are_refused(values, data):
    body = b"".join(value(*one) for one in values)
    ends = {sum(len(value(*one)) for one in values[:count]) for count in range(1, len(values) + 1)}
    cut = data.draw(st.integers(0, len(body) - 1).filter(lambda at: at not in ends))
    with pytest.raises(ProtocolError) as refused:
        list(fragments(memoryview(body[:cut])))
    assert refused.value.reason == AbortReason.INVALID_PDU_PARAMETER_VALUE


@pytest.mark.parametrize("length", [0, 1, 0xFFFFFFFF])
def test_a_value_of_an_impossible_length_is_refused(length):
    with pytest.raises(ProtocolError):
        list(fragments(memoryview(struct.pack(">LBB", length, 1, 3) + b"data")))


@given(st.binary(min_size=1, max_size=300), st.integers(0, 60))
def test_a_command_set_is_cut_to_what_the_peer_takes(command_set, longest):
    pieces = [data_pdu(1, piece) for piece in command_fragments(command_set, longest=longest)]
    assert all(read_header(piece[:6]) == (PDUType.P_DATA_TF, len(piece) - 6) for piece in pieces)
    assert longest <= 6 or all(len(piece) - 6 <= longest for piece in pieces)
    found = [next(fragments(memoryview(piece)[6:])) for piece in pieces]
    assert b"".join(bytes(one.data) for one in found) == command_set
    assert [one.last for one in found] == [False] * (len(found) - 1) + [True]
    assert all(one.of_command for one in found)
