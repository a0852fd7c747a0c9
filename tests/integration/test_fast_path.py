"""C-STORE from the socket into the file: messages however they come, what breaks off, what pynetdicom is handed."""

import contextlib
import ssl
import threading
import time

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from db.files import Storage
from db.incoming import Incoming
from handlers.association import Associations
from handlers.command_set import read_command
from handlers.commitment import CommitmentHandler
from handlers.quarantine import Quarantine
from handlers.refusals import Refusals
from handlers.space import DiskSpace
from handlers.store import StoreHandler
from handlers.upper_layer import MAX_PDU, fragments
from node.demo.harness import free_port
from node.sections import Dicom, Tls
from node.server import Server
from tests.certificates import Authority
from tests.hostile.pdus import (
    ABORT,
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
from tests.unit.handlers.test_identity import encoded

MORE_DATA, MORE_COMMAND, LAST_DATA, LAST_COMMAND = range(4)
LIMIT_S = 10
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path / "storage")
    storage.prepare()
    return storage


@pytest.fixture
def associations():
    return Associations()


@pytest.fixture
def servers():
    started = []
    yield started
    for server in started:
        server.stop(grace_s=0)


@pytest.fixture
def serve(storage, associations, servers):
    """Start a server; return its port."""

    def start(**settings):
        settings = {"port": free_port(), "network_timeout_s": 30} | settings
        store = StoreHandler(
            storage=storage,
            incoming=Incoming(storage.incoming),
            quarantine=Quarantine(storage.quarantine, quota_bytes=10**9),
            space=DiskSpace(storage.root, low_water_bytes=0),
            associations=associations,
        )
        server = Server(
            Dicom(**settings),
            store=store,
            associations=associations,
            commitment=CommitmentHandler(lambda _report: True),
            refusals=Refusals(),
        )
        server.start()
        servers.append(server)
        return settings["port"] or settings["tls_port"]

    return start


@pytest.fixture
def line(serve):
    with associated(serve()) as line:
        yield line


def instance(number=1, *, size=0):
    """Return the parts of a message that stores an instance: command set, data set."""
    sop_instance_uid = f"1.2.3.{number}"
    data_set = bytes(encoded(SOPInstanceUID=sop_instance_uid, BitsAllocated=16, PixelData=bytes(size)))
    return command(store_elements(sop_instance_uid.encode(), message_id=number)), data_set


def status(answer):
    assert answer is not None
    assert answer.kind == DATA, answer
    (part,) = fragments(memoryview(answer.body))
    return int.from_bytes(read_command(bytes(part.data)).values[0x0900], "little")


def store(line, number=1):
    command_set, data_set = instance(number)
    line.send(pdu(DATA, value(1, LAST_COMMAND, command_set)), pdu(DATA, value(1, LAST_DATA, data_set)))
    return status(line.receive())


def begin_storing(line, storage):
    """Send half an instance, and wait until its file is there."""
    command_set, data_set = instance()
    line.send(pdu(DATA, value(1, LAST_COMMAND, command_set) + value(1, MORE_DATA, data_set[:20])))
    until(lambda: list(storage.incoming.glob("*.part")))
    return data_set[20:]


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.005)


def stored(storage):
    """Return the data sets in the spool by SOP Instance UID, as the bytes that lie there after the file meta."""
    found = {}
    for name in storage.spooled():
        path = storage.spool / name
        meta = dcmread(path, specific_tags=[]).file_meta
        at = 144 + meta.FileMetaInformationGroupLength
        found[meta.MediaStorageSOPInstanceUID] = path.read_bytes()[at:]
    return found


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


def test_a_release_in_mid_message_is_answered_and_leaves_nothing(line, storage):
    begin_storing(line, storage)
    line.send(pdu(RELEASE, bytes(4)))
    assert line.receive().kind == RELEASED
    until(lambda: not list(storage.incoming.iterdir()))


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


def test_over_tls_messages_that_share_a_record_are_all_answered(serve, storage, tmp_path):
    """What the TLS layer has read already, the socket does not tell of."""
    authority = Authority(tmp_path / "ca")
    node, scanner = authority.issue("node"), authority.issue("scanner")
    port = serve(
        port=0,
        tls_port=free_port(),
        tls=Tls(certificate=node.certificate, key=node.key, ca=authority.certificate),
    )
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
