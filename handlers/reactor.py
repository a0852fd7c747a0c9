"""pynetdicom's upper layer thread, kept going where events meet in an order that its loop does not expect.

``DULServiceProvider.run_reactor`` (3.0.4) makes an event of the primitive that waits to be sent in every round, also
while earlier events are queued, so that one primitive can become two events; and an event that the table has no action
for ends the thread, with a stack trace and the association half open. A peer can bring both about: by several messages
at once, or by an abort while an answer is on its way.

References
----------
PS3.8 9.2 state machine.
"""

import contextlib
import logging
import queue
from collections.abc import Callable
from typing import Any

from pynetdicom.fsm import TRANSITION_TABLE

logger = logging.getLogger(__name__)

_OF_PRIMITIVES = frozenset({"Evt1", "Evt2", "Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15"})
"""Events that stand for what waits at the head of the queue to be sent."""
_CLOSED, _INVALID_PDU = "Evt17", "Evt19"
"""What an action that fails leads to: an abort, and if that fails the end of the connection."""


def keep_going(provider: Any, *, begin: Callable[[], None]) -> None:  # noqa: ANN401 - its insides have no types
    """Have an upper layer thread take one event after the other and pass over stray ones.

    Parameters
    ----------
    provider : pynetdicom.dul.DULServiceProvider
        Not started yet.
    begin : callable
        Called once, by that thread, after the first events.
    """
    beginnings = [begin]
    look_what_to_send = provider._process_recv_primitive  # noqa: SLF001 - see the module
    machine = provider.state_machine
    act = machine.do_action

    def events_first() -> bool:
        if beginnings and provider.event_queue.empty():
            beginnings.pop()()
        return not provider.event_queue.empty() or look_what_to_send()

    def act_if_there_is_an_action(event: str) -> None:
        if (event, machine.current_state) in TRANSITION_TABLE:
            try:
                act(event)
            except Exception as error:  # noqa: BLE001 - pynetdicom raises anything for what a hostile peer wants answered
                logger.warning(
                    "aborted an association: %s in %s failed (%s)",
                    *(event, machine.current_state, type(error).__name__),
                    extra={"action": "association"},
                )
                provider.event_queue.put(_CLOSED if event == _INVALID_PDU else _INVALID_PDU)
            return
        logger.debug("passed over %s in %s", event, machine.current_state)
        if event in _OF_PRIMITIVES:
            with contextlib.suppress(queue.Empty):
                provider.to_provider_queue.get_nowait()

    provider._process_recv_primitive = events_first  # noqa: SLF001 - see the module
    machine.do_action = act_if_there_is_an_action
