"""C-STORE from the socket into the file: messages however they come, and what pynetdicom is handed."""

import time

import pytest

from handlers.command_set import read_command
from handlers.upper_layer import MAX_PDU, fragments
from tests.hostile.pdus import (
    DATA,
    RELEASE,
    RELEASED,
    USER_INFORMATION,
    associated,
    command,
    echo_command,
    element,
    item,
    pdu,
    store_elements,
    value,
)
from tests.integration.receiving.conftest import (
    LAST_COMMAND,
    LAST_DATA,
    MORE_COMMAND,
    MORE_DATA,
    SUCCESS,
    instance,
    status,
    store,
    stored,
)


@pytest.mark.parametrize("room", [7, 100, 16378, MAX_PDU - 6])
def test_an_instance_cut_into_many_pdus_is_stored_byte_for_byte(line, storage, room):
    command_set, data_set = instance(size=2000 if room < 1000 else 400_000)
    pieces = [data_set[at : at + room] for at in range(0, len(data_set), room)]
    kinds = [MORE_DATA] * (len(pieces) - 1) + [LAST_DATA]
    values = [value(1, kind, piece) for kind, piece in zip(kinds, pieces, strict=True)]
    line.send(pdu(DATA, value(1, LAST_COMMAND, command_set)), *(pdu(DATA, one) for one in values))
    assert status(line.receive()) == SUCCESS
    assert stored(storage) == {"1.2.3.1": data_set}


def test_a_command_set_and_its_data_set_in_one_pdu_of_many_values_are_stored(line, storage):
    command_set, data_set = instance()
    values = [
        value(1, MORE_COMMAND, command_set[:5]),
        value(1, MORE_COMMAND, b""),
        value(1, LAST_COMMAND, command_set[5:]),
        value(1, MORE_DATA, b""),
        value(1, MORE_DATA, data_set),
        value(1, LAST_DATA, b""),
    ]
    line.send(pdu(DATA, b"".join(values)))
    assert status(line.receive()) == SUCCESS
    assert stored(storage) == {"1.2.3.1": data_set}


def test_bytes_that_come_one_by_one_are_stored(line, storage):
    command_set, data_set = instance()
    message = pdu(DATA, value(1, LAST_COMMAND, command_set)) + pdu(DATA, value(1, LAST_DATA, data_set))
    for at in range(len(message)):
        line.send(message[at : at + 1])
        time.sleep(0.0005 if at % 100 else 0.06)  # some wait longer than a read blocks
    assert status(line.receive()) == SUCCESS
    assert stored(storage) == {"1.2.3.1": data_set}


def test_requests_that_are_not_waited_for_are_answered_in_their_order(line, storage):
    for number in range(1, 6):
        command_set, data_set = instance(number)
        line.send(pdu(DATA, value(1, LAST_COMMAND, command_set)), pdu(DATA, value(1, LAST_DATA, data_set)))
    answers = [fragments(memoryview(line.receive().body)) for _ in range(5)]
    assert [read_command(bytes(next(a).data)).values[0x0120][0] for a in answers] == [1, 2, 3, 4, 5]
    assert len(stored(storage)) == 5


def test_an_echo_between_two_instances_is_answered_by_pynetdicom(line, storage):
    assert store(line, 1) == SUCCESS
    line.send(pdu(DATA, value(3, LAST_COMMAND, echo_command(9))))
    (answer,) = fragments(memoryview(line.receive().body))
    assert read_command(bytes(answer.data)).field == 0x8030
    assert store(line, 2) == SUCCESS
    line.send(pdu(RELEASE, bytes(4)))
    assert line.receive().kind == RELEASED
    assert set(stored(storage)) == {"1.2.3.1", "1.2.3.2"}


def test_an_answer_that_pynetdicom_has_to_send_in_mid_message_and_an_empty_last_value_leave_nothing_waiting(
    line, storage
):
    command_set, data_set = instance()
    many = b"".join(pdu(DATA, value(1, MORE_DATA, data_set[at : at + 2])) for at in range(0, len(data_set), 2))
    for _ in range(5):
        line.send(
            pdu(DATA, value(3, LAST_COMMAND, echo_command(9))),
            pdu(DATA, value(1, LAST_COMMAND, command_set)),
            many + pdu(DATA, value(1, LAST_DATA, b"")),
        )
        assert [status(line.receive()) for _ in range(2)] == [SUCCESS, SUCCESS]
    assert stored(storage) == {"1.2.3.1": data_set}


def test_a_response_that_nobody_waits_for_is_passed_over_and_stores_nothing(line, storage):
    of_request = store_elements(b"1.2.3.1")
    of_request[1] = element(0, 0x0100, bytes.fromhex("0180"))
    line.send(pdu(DATA, value(1, LAST_COMMAND, command(of_request))), pdu(DATA, value(1, LAST_DATA, instance()[1])))
    assert store(line, 2) == SUCCESS
    assert set(stored(storage)) == {"1.2.3.2"}


def test_an_echo_in_the_same_pdu_as_an_instance_is_answered_too(line):
    command_set, data_set = instance()
    values = (
        value(1, LAST_COMMAND, command_set) + value(1, LAST_DATA, data_set) + value(3, LAST_COMMAND, echo_command())
    )
    line.send(pdu(DATA, values))
    assert status(line.receive()) == SUCCESS
    assert status(line.receive()) == SUCCESS


def test_an_answer_is_cut_to_what_the_peer_takes(serve):
    small = item(0x51, (16).to_bytes(4, "big")) + USER_INFORMATION[8:]
    with associated(serve(), user_information=small) as line:
        command_set, data_set = instance()
        line.send(pdu(DATA, value(1, LAST_COMMAND, command_set)), pdu(DATA, value(1, LAST_DATA, data_set)))
        answer = b""
        while True:
            received = line.receive()
            assert len(received.body) <= 16
            (part,) = fragments(memoryview(received.body))
            answer += bytes(part.data)
            if part.last:
                break
    assert read_command(answer).values[0x0900] == b"\0\0"
