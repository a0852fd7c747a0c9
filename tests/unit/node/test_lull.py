"""Indexing waits for a lull in what is received, and not for ever."""

import pytest

from handlers.association import Associations
from node.lull import Lull


class Sender:
    """One association that sends, on a clock of its own."""

    def __init__(self):
        self.now = 0.0
        associations = Associations(lambda: self.now)
        request = type("Assoc", (), {"name": ""})()
        associations.accepted(type("Event", (), {"assoc": request})())
        self.send = lambda: associations.received(request.name, "1.2")
        self.lull = Lull(associations, lambda: self.now)

    def awaits(self, *, after_s, sending):
        self.now += after_s
        if sending:
            self.send()
        return self.lull.is_awaited()


@pytest.fixture
def sender():
    return Sender()


def test_a_lull_is_awaited_while_something_comes(sender):
    assert [sender.awaits(after_s=0.1, sending=True) for _ in range(3)] == [True, True, True]
    assert not sender.awaits(after_s=0.3, sending=False)


def test_an_open_association_that_is_silent_is_a_lull(sender):
    sender.send()
    assert not sender.awaits(after_s=1.0, sending=False)


def test_it_is_not_awaited_for_ever_and_then_anew(sender):
    waits = [sender.awaits(after_s=0.1, sending=True) for _ in range(150)]
    assert waits.index(False) == pytest.approx(100, abs=1)
    assert not any(waits[101:])
    sender.lull.all_is_indexed()
    assert sender.awaits(after_s=0.1, sending=True)


def test_lulls_that_do_not_suffice_make_the_wait_no_longer(sender):
    waits = [sender.awaits(after_s=0.1 if number % 20 else 0.3, sending=True) for number in range(150)]
    assert not any(waits[100:])
