"""What is agreed on, TLS included, and stored as it was sent."""

import ssl

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from handlers.upper_layer import MAX_PDU
from node.demo.harness import free_port
from node.sections import Tls
from node.tls import greets
from tests.certificates import Authority
from tests.hostile.pdus import (
    CT,
    DATA,
    EXPLICIT,
    IMPLICIT,
    RELEASE,
    RELEASED,
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
    store_elements,
    value,
)
from tests.integration.receiving.conftest import (
    LAST_COMMAND,
    LAST_DATA,
    LIMIT_S,
    SUCCESS,
    instance,
    status,
    stored,
    until,
)
from tests.unit.handlers.test_identity import encoded


def secured(authority):
    """Return the settings of a server with nothing but a port for TLS."""
    node, port = authority.issue("node"), free_port()
    tls = Tls(certificate=node.certificate, key=node.key, ca=authority.certificate)
    return {"port": 0, "tls_port": port, "tls": tls}


def test_a_look_whether_it_speaks_tls_is_no_refusal(serve, refusals, tmp_path):
    port = serve(**secured(Authority(tmp_path / "ca")))
    assert all(greets("127.0.0.1", port, timeout_s=LIMIT_S) for _ in range(3))
    with Line(port) as line:  # one that is, behind them
        line.send(b"GET / HTTP/1.0\r\n\r\n")
        until(lambda: refusals.counts)
    assert set(refusals.counts.values()) == {1}
    assert not greets("127.0.0.1", free_port(), timeout_s=LIMIT_S)


def test_over_tls_messages_that_share_a_record_are_all_answered(serve, storage, tmp_path):
    """What the TLS layer has read already, the socket does not tell of."""
    authority = Authority(tmp_path / "ca")
    scanner = authority.issue("scanner")
    port = serve(**secured(authority))
    client = ssl.create_default_context(cafile=authority.certificate)
    client.load_cert_chain(scanner.certificate, scanner.key)
    with Line(port) as line:
        line.socket = client.wrap_socket(line.socket, server_hostname="localhost")
        line.associate()
        message = b""
        for number in (1, 2, 3):
            command_set, data_set = instance(number)
            message += pdu(DATA, value(1, LAST_COMMAND, command_set)) + pdu(DATA, value(1, LAST_DATA, data_set))
            message += pdu(DATA, value(3, LAST_COMMAND, echo_command()))
        line.send(message)
        assert [status(line.receive()) for _ in range(6)] == [SUCCESS] * 6
        line.send(pdu(RELEASE, bytes(4)))
        assert line.receive().kind == RELEASED
    assert len(stored(storage)) == 3


PRIVATE_CLASS, PRIVATE_SYNTAX = b"1.3.6.1.4.1.99999.5.1", b"1.3.6.1.4.1.99999.5.2"


@pytest.mark.parametrize("sop_class", [PRIVATE_CLASS, b"1.2.840.10008.5.1.4.1.1.999", b"1.2.840.10008.5.1.4.1.1.66.7"])
@pytest.mark.parametrize("syntax", [PRIVATE_SYNTAX, b"1.2.840.10008.1.2.4.203", EXPLICIT])
def test_any_storage_sop_class_in_any_transfer_syntax_is_stored_as_sent(serve, storage, sop_class, syntax):
    with associated(serve(), contexts=[context(1, sop_class, syntax)]) as line:
        data_set = bytes(encoded(SOPClassUID=sop_class.decode(), SOPInstanceUID="1.2.3"))
        elements = store_elements(b"1.2.3")
        elements[0] = element(0, 0x0002, sop_class + b"\0" * (len(sop_class) % 2))
        line.send(pdu(DATA, value(1, LAST_COMMAND, command(elements)) + value(1, LAST_DATA, data_set)))
        assert status(line.receive()) == SUCCESS
    (name,) = storage.spooled()
    assert dcmread(storage.spool / name, specific_tags=[], force=True).file_meta.TransferSyntaxUID == UID(
        syntax.decode()
    )
    assert stored(storage) == {"1.2.3": data_set}


def sub_items(answer):
    """Return the user information of an A-ASSOCIATE-AC by kind."""
    found, at = {}, 68
    body = answer.body
    while at < len(body):
        kind, length = body[at], int.from_bytes(body[at + 2 : at + 4], "big")
        if kind == 0x50:
            at += 4
            continue
        found.setdefault(kind, []).append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def test_what_is_asked_for_beyond_contexts_is_answered_as_the_standard_has_it(serve):
    """Asynchronous operations, role selection, extended negotiation (PS3.7 D.3.3.3 to D.3.3.5, PS3.4 B.3.1)."""
    ct = len(CT).to_bytes(2, "big") + CT
    asked = USER_INFORMATION + item(0x53, bytes([0, 5, 0, 7])) + item(0x54, ct + b"\1\0") + item(0x56, ct + bytes(6))
    with Line(serve()) as line:
        answer = line.associate(
            user_information=asked, contexts=[context(1, CT, EXPLICIT), context(3, VERIFICATION, IMPLICIT)]
        )
    answered = sub_items(answer)
    assert answered[0x53] == [bytes([0, 1, 0, 1])]
    assert answered[0x54] == [ct + b"\1\0"]
    assert answered[0x56] == [ct + bytes([2, 0, 3, 0, 0, 0])]
    assert answered[0x51] == [MAX_PDU.to_bytes(4, "big")]
