"""A C-STORE SCU that costs next to nothing, so that what is measured is the receiver: ``python -m node.bench.sender``.

It negotiates by pynetdicom, then writes PDUs to the socket itself: those of one instance, in which only the SOP
Instance UID changes. It says when it is connected, waits for a line to begin, and prints when it began and ended.

References
----------
PS3.7 9.3.1 C-STORE; PS3.8 9.3.5 P-DATA-TF.
"""

import json
import re
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from handlers.command_set import read_command
from handlers.upper_layer import HEADER_SIZE, MAX_PDU, PDUType, as_pdu, fragments, read_header

_TIMEOUT_S = 600.0
_ROWS = 512
FRAME_BYTES = _ROWS * _ROWS * 2
_PDV_HEADER = 6
_ELEMENT = struct.Struct("<HHL")
_PIXEL_DATA = bytes.fromhex("e07f1000") + b"OW\0\0"
_LAST_OF_DATA, _MORE_OF_DATA, _LAST_OF_COMMAND = 2, 0, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What one sender sends.

    Attributes
    ----------
    frames : int
        Of 0.5 MB each; 1 makes a CT image, more a multi-frame one.
    """

    host: str
    port: int
    called_ae_title: str
    study_uid: str
    instances: int
    frames: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What came of it; times are of the clock that all processes of the machine share."""

    began_s: float
    ended_s: float
    accepted: int
    bytes: int


def send(load: Load) -> Sent:
    """Associate, wait for a line, send, release.

    Raises
    ------
    ConnectionError
        If the receiver lets nobody in, or hangs up.
    """
    entity = AE(ae_title="BENCH")
    entity.maximum_pdu_size = MAX_PDU
    sop_class_uid = CTImageStorage if load.frames == 1 else EnhancedCTImageStorage
    entity.add_requested_context(sop_class_uid, ExplicitVRLittleEndian)
    association = entity.associate(load.host, load.port, ae_title=load.called_ae_title)
    if not association.is_established:
        raise ConnectionError(f"no association with port {load.port}")
    association._reactor_checkpoint.clear()  # noqa: SLF001 - the socket is ours from here
    connection: socket.socket = association.dul.socket.socket  # type: ignore[union-attr, assignment]
    connection = socket.socket(fileno=connection.detach())
    association.dul._kill_thread = association._kill = True  # noqa: SLF001 - see above
    association._reactor_checkpoint.set()  # noqa: SLF001 - see above
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(_TIMEOUT_S)
    longest = association.acceptor.maximum_length or MAX_PDU
    print("connected", flush=True)  # noqa: T201 - what the parent waits for
    sys.stdin.readline()
    began_s, accepted, size = time.monotonic(), 0, 0
    for message in _messages(load, sop_class_uid, min(longest, MAX_PDU)):
        for piece in message:
            connection.sendall(piece)
            size += len(piece)
        accepted += _status(connection) == 0
    ended_s = time.monotonic()
    connection.sendall(as_pdu(PDUType.A_RELEASE_RQ, bytes(4)))
    connection.recv(10)
    connection.close()
    return Sent(began_s=began_s, ended_s=ended_s, accepted=accepted, bytes=size)


def _messages(load: Load, sop_class_uid: str, longest: int) -> Iterator[Iterable[bytes | bytearray]]:
    """Yield C-STORE requests, each some PDUs at a time; those of single frames are encoded once."""
    uids = [f"{load.study_uid}.1.{1_000_000 + number}" for number in range(load.instances)]
    if load.frames > 1:
        yield from (_message(load, uid, sop_class_uid, longest) for uid in uids)
        return
    message = bytearray(b"".join(_message(load, uids[0], sop_class_uid, longest)))
    length = len(uids[0])
    places = [found.start() for found in re.finditer(re.escape(uids[0].encode()), message)]
    for uid in uids:
        for at in places:
            message[at : at + length] = uid.encode()
        yield [message]


def _message(load: Load, sop_instance_uid: str, sop_class_uid: str, longest: int) -> Iterator[bytes]:
    """Yield a C-STORE request, some PDUs at a time."""
    yield _fragment(_command(sop_class_uid, sop_instance_uid), _LAST_OF_COMMAND)
    room = longest - _PDV_HEADER
    rest = bytearray(_header(load, sop_class_uid, sop_instance_uid))
    for frame in range(load.frames):
        rest += _FRAME
        last_frame = frame == load.frames - 1
        whole = len(rest) // room * room
        if last_frame and whole == len(rest):
            whole -= room
        view = memoryview(rest)
        yield b"".join(_fragment(view[at : at + room], _MORE_OF_DATA) for at in range(0, whole, room))
        rest = bytearray(view[whole:])
    yield _fragment(rest, _LAST_OF_DATA)


_FRAME = bytes(range(256)) * (FRAME_BYTES // 256)


def _fragment(data: bytes | bytearray | memoryview, control: int) -> bytes:
    header = struct.pack(">BxLLBB", PDUType.P_DATA_TF, len(data) + _PDV_HEADER, len(data) + 2, 1, control)
    return b"".join((header, data))


def _command(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    def element(number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return _ELEMENT.pack(0, number, len(value)) + value

    body = b"".join(
        (
            element(0x0002, sop_class_uid.encode()),
            element(0x0100, struct.pack("<H", 1)),
            element(0x0110, struct.pack("<H", 1)),
            element(0x0700, struct.pack("<H", 0)),
            element(0x0800, struct.pack("<H", 1)),
            element(0x1000, sop_instance_uid.encode()),
        )
    )
    return element(0x0000, struct.pack("<L", len(body))) + body


def _header(load: Load, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return the attributes of an instance, up to the length of its pixels."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, sop_instance_uid
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20260101", "120000", ""
    dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Bench^Receive", "BENCH"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = load.study_uid, f"{load.study_uid}.1"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    if load.frames > 1:
        dataset.NumberOfFrames = load.frames
    dataset.Rows = dataset.Columns = _ROWS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return buffer.getvalue() + _PIXEL_DATA + struct.pack("<L", load.frames * FRAME_BYTES)


def _status(connection: socket.socket) -> int:
    """Read a response; return its status."""
    encoded = b""
    while True:
        pdu_type, length = read_header(_read(connection, HEADER_SIZE))
        body = _read(connection, length)
        if pdu_type != PDUType.P_DATA_TF:
            raise ConnectionError(f"the receiver answered with a PDU of type {pdu_type}")
        for fragment in fragments(memoryview(body)):
            encoded += bytes(fragment.data)
            if fragment.last:
                return int.from_bytes(read_command(encoded).values[0x0900], "little")


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("the receiver hung up")
        data += more
    return data


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(send(Load(**json.loads(sys.argv[1]))))), flush=True)  # noqa: T201 - for the parent
    except OSError as error:
        sys.exit(str(error))
