"""Connections that have not asked for an association, watched by one thread; loopback only, with a short ARTIM."""

import functools
import socket
import ssl
import threading
import time

import pytest

from handlers.connections import Door
from handlers.lobby import Lobby
from handlers.refusals import Refusals
from node.sections import Tls
from node.tls import server_context
from tests.certificates import Authority
from tests.hostile.pdus import Line, request

ARTIM_S = 0.3


class House:
    """A lobby and who came through it."""

    def __init__(self, context=None, **options):
        self.entered = []
        self.room, self.fails = True, False
        self.refusals = Refusals()
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = listening.getsockname()[1]
        settings = {"may_connect": lambda _address, _own: True, "has_room": lambda: self.room}
        self.lobby = Lobby(refusals=self.refusals, timeout_s=1, artim_s=ARTIM_S, **(settings | options))
        self._listening = listening
        self.lobby.start([Door(listening=listening, context=context, enter=self._enter)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lobby.stop()
        self._listening.close()
        for connection, _, _ in self.entered:
            connection.close()

    def _enter(self, connection, address, octets):
        if self.fails:
            raise RuntimeError("can't start new thread")
        self.entered.append((connection, address, octets))


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_whole_request_enters_however_it_comes():
    octets = request()
    with House() as house, Line(house.port) as line:
        for at in range(0, len(octets), 50):
            line.send(octets[at : at + 50])
            time.sleep(0.005)
        line.send(b"more")
        until(lambda: house.entered)
        connection, address, entered = house.entered[0]
        assert entered == octets
        assert address[0] == "127.0.0.1"
        assert connection.recv(4) == b"more"  # what follows the request is for the association
        assert connection.gettimeout() == 1


def test_who_is_slow_is_hung_up_on_after_artim_and_a_byte_now_and_then_does_not_help():
    with House() as house, Line(house.port) as idle, Line(house.port) as slow:
        started = time.monotonic()
        for octet in request()[:5]:
            slow.send(bytes([octet]))
            time.sleep(0.04)
        assert idle.receive() is None
        assert slow.receive() is None
        assert ARTIM_S * 0.9 < time.monotonic() - started < ARTIM_S + 1
        until(lambda: house.refusals.counts == {"silent": 2})


def test_who_only_looks_whether_somebody_listens_is_no_refusal():
    with House() as house:
        socket.create_connection(("127.0.0.1", house.port)).close()
        with Line(house.port) as line:
            line.send(request())
            until(lambda: house.entered)
        assert house.refusals.counts == {}


def test_where_too_many_wait_the_oldest_of_the_address_that_has_most_goes():
    with House(most_waiting=3) as house, Line(house.port) as patient:
        until(lambda: len(house.lobby._waiting) == 1)
        others = [
            socket.create_connection(("127.0.0.1", house.port), source_address=("127.0.0.2", 0)) for _ in range(4)
        ]
        until(lambda: house.refusals.counts.get("connections") == 2)
        assert [other.recv(1) for other in others[:2]] == [b"", b""]
        patient.send(request())
        until(lambda: house.entered)
        for other in others:
            other.close()


def test_where_no_more_may_associate_a_request_is_rejected_for_the_moment_with_the_names(caplog):
    with House() as house, Line(house.port) as line:
        house.room = False
        assert line.associate(calling=b"CT1").rejection == (2, 3, 2)
        assert line.receive() is None
        assert "rejected an association of 'CT1' at 127.0.0.1, which called us 'OPACITY_NODE'" in caplog.text


def test_an_address_that_may_not_is_hung_up_on_at_once():
    with House(may_connect=lambda address, _own: address != "127.0.0.2") as house:
        with socket.create_connection(("127.0.0.1", house.port), source_address=("127.0.0.2", 0)) as stranger:
            stranger.settimeout(2)
            assert stranger.recv(1) == b""
        until(lambda: house.refusals.counts == {"address": 1})


def test_an_association_that_cannot_begin_is_hung_up_on_alone(caplog):
    with House() as house:
        house.fails = True
        with Line(house.port) as line:
            line.send(request())
            assert line.receive() is None
        house.fails = False
        with Line(house.port) as line:
            line.send(request())
            until(lambda: house.entered)
    assert "no association with 127.0.0.1: can't start new thread" in caplog.text


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    bearer = authority.issue("localhost")
    tls = Tls(
        certificate=bearer.certificate, key=bearer.key, ca=authority.certificate, require_client_certificate=False
    )
    return functools.partial(server_context, tls), ssl.create_default_context(cafile=authority.certificate)


def connected(context, port):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")


def test_a_handshake_that_does_not_end_keeps_nobody_waiting_and_ends_by_artim(secured):
    ours, theirs = secured
    with House(context=ours) as house:
        with Line(house.port) as silent, Line(house.port) as halfway:
            halfway.send(b"\x16\x03\x01\x02\x00")
            with connected(theirs, house.port) as line:
                line.sendall(request())
                until(lambda: house.entered)
            assert isinstance(house.entered[0][0], ssl.SSLSocket)
            assert silent.receive() is None
            assert halfway.receive() is None
        until(lambda: house.refusals.counts == {"silent": 2})


def test_a_request_in_the_same_breath_as_the_handshake_is_read(secured):
    ours, theirs = secured
    with House(context=ours) as house:
        for number in range(5):
            with connected(theirs, house.port) as line:
                line.sendall(request())
                until(lambda number=number: len(house.entered) > number)
    assert [octets for _, _, octets in house.entered] == [request()] * 5


def test_the_thread_ends_with_the_lobby():
    with House():
        assert "lobby" in [thread.name for thread in threading.enumerate()]
    assert "lobby" not in [thread.name for thread in threading.enumerate()]
