import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode

from handlers.command_set import MalformedCommandError, read_command
from tests.hostile.pdus import command, element, store_elements


def request_by_pynetdicom():
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 258, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, "1.2.3"
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    message.context_id = 1
    (primitive_data,) = message.encode_msg(1, 16382)
    return primitive_data.presentation_data_value_list[0][1][1:]


def test_a_request_of_another_library_is_read():
    command = read_command(request_by_pynetdicom())
    assert command.field == 0x0001
    assert command.message_id == 258
    assert (command.sop_class_uid, command.sop_instance_uid) == (CTImageStorage, "1.2.3")


def test_the_answer_is_read_by_another_library():

    answer = decode(BytesIO(read_command(request_by_pynetdicom()).store_response(0xA700)), True, True)
    assert (answer.CommandField, answer.Status, answer.CommandDataSetType) == (0x8001, 0xA700, 0x0101)
    assert answer.MessageIDBeingRespondedTo == 258
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CTImageStorage, "1.2.3")


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\0\0\0\1",
        command(store_elements(b"1.2.3"))[:-1],
        command([element(8, 5, b"x")]),
        command([element(0, 0x0100, b"\1\0")]),
        command([element(0, 0x0100, b"\1\0\0\0"), element(0, 0x0800, b"\1\1")]),
        command([element(0, 0x0100, b"\1\0", length=0xFFFFFFFF)]),
    ],
    ids=["nothing", "a stump", "cut off", "another group", "no type", "a long field", "undefined length"],
)
def test_what_is_no_command_set_is_told(encoded):
    with pytest.raises(MalformedCommandError):
        read_command(encoded)


def test_uids_that_are_absent_are_empty_and_not_answered():
    command_set = read_command(
        command([element(0, 0x0100, b"\1\0"), element(0, 0x0110, b"\7\0"), element(0, 0x0800, b"\0\0")])
    )
    assert (command_set.sop_class_uid, command_set.sop_instance_uid) == ("", "")
    assert set(read_command(command_set.store_response(0)).values) == {0x0000, 0x0100, 0x0120, 0x0800, 0x0900}


@given(st.binary(max_size=80))
def test_any_bytes_are_a_command_set_or_told_to_be_none(encoded):
    try:
        read_command(encoded)
    except MalformedCommandError:
        return
    assert struct.unpack_from("<H", encoded)[0] == 0
