"""Requests for an association: read as they are, but for what nobody knows."""

import queue
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.reactor import keep_going
from handlers.request import MalformedRequestError, known_items_only, read_request
from tests.hostile.pdus import CT, EXPLICIT, USER_INFORMATION, context, item, request

UNKNOWN = st.builds(item, st.sampled_from([0x11, 0x21, 0x59, 0x60, 0xFF]), st.binary(max_size=30))


def with_items(*, first, last, inner):
    contexts = [*first, context(1, CT, EXPLICIT), *last]
    return request(contexts=contexts, user_information=USER_INFORMATION + b"".join(inner))


@given(first=st.lists(UNKNOWN, max_size=3), last=st.lists(UNKNOWN, max_size=3), inner=st.lists(UNKNOWN, max_size=3))
def test_items_that_nobody_knows_make_no_difference(first, last, inner):
    plain = with_items(first=[], last=[], inner=[])
    assert known_items_only(with_items(first=first, last=last, inner=inner)) == plain


@given(at=st.integers(0, 300))
def test_a_request_that_is_cut_off_is_told_from_one_that_is_whole(at):
    whole = request()
    cut = whole[: at % len(whole)]
    if len(cut) >= 6:
        with pytest.raises(MalformedRequestError):
            read_request(cut)


def test_a_request_is_read_with_its_primitive_at_hand():
    pdu = read_request(request(calling=b"CT1"))
    assert pdu.to_primitive() is pdu.to_primitive()
    assert pdu.to_primitive().calling_ae_title == "CT1"


class Machine:
    """A state machine whose actions are told, or fail."""

    def __init__(self, state, failing=()):
        self.current_state = state
        self.failing = failing
        self.acted = []

    def do_action(self, event):
        if event in self.failing:
            raise TypeError(event)
        self.acted.append(event)


def provider(state, **options):
    upper_layer = SimpleNamespace(
        event_queue=queue.Queue(), to_provider_queue=queue.Queue(), state_machine=Machine(state, **options)
    )
    upper_layer._process_recv_primitive = lambda: upper_layer.event_queue.put("Evt9") or True
    return upper_layer


def test_what_waits_to_be_sent_becomes_an_event_only_when_earlier_ones_are_done():
    upper_layer = provider("Sta6")
    keep_going(upper_layer, begin=lambda: upper_layer.event_queue.put("Evt6"))
    for _ in range(3):
        assert upper_layer._process_recv_primitive()
    assert list(upper_layer.event_queue.queue) == ["Evt6"]  # the beginning, once
    upper_layer.event_queue.get()
    upper_layer._process_recv_primitive()
    assert list(upper_layer.event_queue.queue) == ["Evt9"]


def test_an_event_that_may_not_come_is_passed_over_with_what_it_stands_for():
    upper_layer = provider("Sta13")
    machine = upper_layer.state_machine
    keep_going(upper_layer, begin=list)
    upper_layer.to_provider_queue.put("an answer too late")
    machine.do_action("Evt9")
    assert upper_layer.to_provider_queue.empty()
    machine.do_action("Evt17")
    assert machine.acted == ["Evt17"]


def test_an_action_that_fails_leads_to_an_abort_and_if_that_fails_to_the_end(caplog):
    upper_layer = provider("Sta3", failing={"Evt7", "Evt19"})
    keep_going(upper_layer, begin=list)
    upper_layer.state_machine.do_action("Evt7")
    upper_layer.state_machine.do_action("Evt19")
    assert list(upper_layer.event_queue.queue) == ["Evt19", "Evt17"]
    assert "aborted an association: Evt7 in Sta3 failed (TypeError)" in caplog.text
