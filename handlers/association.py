"""Associations: who is connected, what they sent so far, one log line each.

A study does not settle while an association that sent to it is open and not idle, so that the pause of a slow sender
is not taken for the end of the study.
"""

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from pynetdicom.events import Event

logger = logging.getLogger(__name__)

_VERIFICATION = "1.2.840.10008.1.1"
_STUDIES = 10_000
"""Of so many it is known when they were last sent to; no more are received at a time."""


@dataclass(slots=True)
class _Traffic:
    studies: set[str] = field(default_factory=set)
    instances: int = 0
    refused: int = 0
    opened_s: float = 0.0
    last_s: float = 0.0


class Associations:
    """The open associations, by the name each was given when it was accepted.

    Parameters
    ----------
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Traffic] = {}
        self._studies: OrderedDict[str, float] = OrderedDict()

    def accepted(self, event: Event) -> None:
        """Name an association and begin to count; pynetdicom names those of one second alike."""
        event.assoc.name = f"association-{uuid.uuid4().hex[:12]}"
        now = self._clock()
        with self._lock:
            self._open[event.assoc.name] = _Traffic(opened_s=now, last_s=now)

    def heard(self, association: str) -> None:
        """Take note that an association is not idle: a large instance may come for minutes."""
        with self._lock:
            if traffic := self._open.get(association):
                traffic.last_s = self._clock()

    def received(self, association: str, study_instance_uid: str) -> None:
        """Count an instance that was stored; its association may have ended since."""
        now = self._clock()
        with self._lock:
            self._studies[study_instance_uid] = now
            self._studies.move_to_end(study_instance_uid)
            if len(self._studies) > _STUDIES:
                self._studies.popitem(last=False)
            if traffic := self._open.get(association):
                traffic.studies.add(study_instance_uid)
                traffic.instances += 1
                traffic.last_s = now

    def refused(self, association: str) -> None:
        """Count an instance that was answered with a failure."""
        with self._lock:
            if traffic := self._open.get(association):
                traffic.refused += 1
                traffic.last_s = self._clock()

    def ended(self, event: Event) -> None:
        """Forget an association that was released, aborted or lost, and log what it did."""
        with self._lock:
            traffic = self._open.pop(event.assoc.name, None)
        if traffic is None:
            return
        logger.log(
            logging.DEBUG if _only_echoed(event) else logging.INFO,
            "association from %s ended: %d %s stored, %d refused, %.1f s",
            event.assoc.requestor.ae_title,
            traffic.instances,
            "instance" if traffic.instances == 1 else "instances",
            traffic.refused,
            self._clock() - traffic.opened_s,
            extra={"action": "association", "association": event.assoc.name},
        )

    def receiving(self, *, within_s: float) -> bool:
        """Say whether something came over an open association that recently."""
        now = self._clock()
        with self._lock:
            return any(now - traffic.last_s < within_s for traffic in self._open.values())

    def received_ago_s(self, study_instance_uid: str) -> float | None:
        """Return how long ago an instance of a study was stored, indexed or not; None if that is not known."""
        with self._lock:
            received_at = self._studies.get(study_instance_uid)
        return None if received_at is None else self._clock() - received_at

    def sending_to(self, study_instance_uid: str, *, idle_s: float) -> bool:
        """Say whether an open association sent to the study and was not idle for `idle_s` since."""
        now = self._clock()
        with self._lock:
            return any(
                study_instance_uid in traffic.studies and now - traffic.last_s < idle_s
                for traffic in self._open.values()
            )


def _only_echoed(event: Event) -> bool:
    """Say whether nothing but C-ECHO was agreed on: monitors ask every minute."""
    return {context.abstract_syntax for context in event.assoc.accepted_contexts} == {_VERIFICATION}
