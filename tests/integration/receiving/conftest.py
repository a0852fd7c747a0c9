"""A server that receives, a line to it, and messages to send."""

import time

import pytest
from pydicom import dcmread

from db.files import Storage
from db.incoming import Incoming
from handlers.association import Associations
from handlers.command_set import read_command
from handlers.commitment import CommitmentHandler
from handlers.quarantine import Quarantine
from handlers.refusals import Refusals
from handlers.space import DiskSpace
from handlers.store import StoreHandler
from handlers.upper_layer import fragments
from node.demo.harness import free_port
from node.sections import Dicom
from node.server import Server
from tests.hostile.pdus import (
    DATA,
    associated,
    command,
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
def refusals():
    return Refusals()


@pytest.fixture
def servers():
    started = []
    yield started
    for server in started:
        server.stop(grace_s=0)


@pytest.fixture
def serve(storage, associations, refusals, servers):
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
            refusals=refusals,
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
