"""What is read from a socket at once, and that nothing of it is lost or waited for."""

import queue
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from pynetdicom.pdu_primitives import A_ABORT

from handlers.upper_layer import HEADER_SIZE, MAX_PDU, PDUType, ProtocolError, as_pdu, goes_on
from handlers.wire import ConnectionClosedError, GivenUpError, Wire
from tests.hostile.pdus import value

MORE, LAST = 0, 2
LIMIT_S = 5


class Asked(socket.socket):
    """A socket that counts how often it was read."""

    reads = 0

    def recv_into(self, *arguments):
        self.reads += 1
        return super().recv_into(*arguments)


@pytest.fixture
def sockets():
    ours, peer = socket.socketpair()
    ours = Asked(fileno=ours.detach())
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture
def association(sockets):
    dul = SimpleNamespace(
        socket=SimpleNamespace(socket=sockets[0]),
        to_provider_queue=queue.Queue(),
        artim_timer=SimpleNamespace(expired=False),
        _kill_thread=False,
    )
    return SimpleNamespace(dul=dul, network_timeout=LIMIT_S)


@pytest.fixture
def wire(association):
    return Wire(association)


@pytest.fixture
def peer(sockets):
    return sockets[1]


def data(content, control):
    return as_pdu(PDUType.P_DATA_TF, value(1, control, content))


def read(wire, *, in_message=True):
    """Return the body of the next PDU, as an association reads it."""
    header = wire.header(with_item=in_message)
    length = int.from_bytes(header[2:], "big")
    more = in_message and goes_on(length, wire.item_header())
    return bytes(wire.body(length, longest=MAX_PDU, goes_on=more))


def test_where_a_message_goes_on_a_pdu_takes_one_read(wire, peer, sockets):
    pdus = [data(bytes([n]) * 1000, LAST if n == 4 else MORE) for n in range(5)]
    peer.sendall(b"".join(pdus))
    assert [read(wire) for _ in pdus] == [pdu[HEADER_SIZE:] for pdu in pdus]
    assert sockets[0].reads == len(pdus) + 1
    assert not wire.has_more


def test_nothing_is_read_beyond_the_last_of_a_message(wire, peer, sockets):
    last, release = data(b"x" * 100, LAST), as_pdu(PDUType.A_RELEASE_RQ, bytes(4))
    peer.sendall(last + release)
    assert read(wire) == last[HEADER_SIZE:]
    assert not wire.has_more
    assert sockets[0].recv(100) == release


@pytest.mark.parametrize("kind", [PDUType.A_ABORT, PDUType.A_RELEASE_RQ])
def test_what_is_shorter_than_was_hoped_for_is_read_all_the_same(wire, peer, kind):
    first, other = data(b"x" * 100, MORE), as_pdu(kind, bytes(4))
    peer.sendall(first + other)
    began = time.monotonic()
    assert read(wire) == first[HEADER_SIZE:]
    assert wire.header(with_item=True) == other[:HEADER_SIZE]
    assert wire.body(4, longest=4) == bytes(4)
    assert not wire.has_more
    assert time.monotonic() - began < LIMIT_S / 2


def test_an_empty_value_that_was_read_with_the_one_before_it_is_there(wire, peer, sockets):
    pdus = [data(b"x" * 100, MORE), data(b"", LAST)]
    peer.sendall(b"".join(pdus))
    assert read(wire) == pdus[0][HEADER_SIZE:]
    assert wire.has_more
    sockets[0].close()  # nothing more is asked of it
    with pytest.raises(OSError, match="Bad file"):
        sockets[0].recv(1)
    assert wire.header(with_item=True) == pdus[1][:HEADER_SIZE]
    assert wire.body(6, longest=MAX_PDU) == pdus[1][HEADER_SIZE:]


def test_several_values_in_a_pdu_and_pdus_that_come_in_pieces_are_read_whole(wire, peer):
    several = as_pdu(PDUType.P_DATA_TF, value(1, MORE, b"a" * 10) + value(1, LAST, b"b" * 10))
    pdus = [data(b"x" * 50, MORE), several, data(b"y" * 3, LAST)]
    stream = b"".join(pdus)

    def trickle():
        for at in range(0, len(stream), 7):
            peer.sendall(stream[at : at + 7])
            time.sleep(0.002)

    sender = threading.Thread(target=trickle)
    sender.start()
    assert [read(wire) for _ in pdus] == [pdu[HEADER_SIZE:] for pdu in pdus]
    sender.join(LIMIT_S)


def test_a_silent_peer_is_waited_for_only_where_something_must_come(wire, association):
    assert wire.header(may_wait=True) == b""
    association.dul.to_provider_queue.put(A_ABORT())
    with pytest.raises(GivenUpError):
        wire.header()


def test_a_peer_that_is_silent_in_mid_pdu_for_too_long_is_given_up(wire, peer, association):
    association.network_timeout = 0.1
    peer.sendall(data(b"x" * 100, MORE)[:50])
    with pytest.raises(ProtocolError, match="nothing came"):
        read(wire)


def test_a_peer_that_hangs_up_behind_a_whole_pdu_is_heard_first(wire, peer):
    first = data(b"x" * 100, MORE)
    peer.sendall(first)
    peer.close()
    assert read(wire) == first[HEADER_SIZE:]
    with pytest.raises(ConnectionClosedError):
        wire.header()


def test_a_pdu_that_is_too_long_is_refused_before_it_is_read(wire, peer):
    peer.sendall(as_pdu(PDUType.A_ABORT, bytes(5)))
    wire.header()
    with pytest.raises(ProtocolError, match="longer"):
        wire.body(5, longest=4)
