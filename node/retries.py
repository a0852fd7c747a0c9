"""What an attempt at a delivery means: done, to be tried again and when, or final. Pure; the outbox does it.

A dead or broken line and a peer that cannot now are tried for ever. An answer that will not change by itself is asked
for a limited number of times. `docs/delivery.md` is this module in words.

References
----------
PS3.4 B.2.3 and table B.2-1 Storage statuses; PS3.7 C Status codes.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.repository.deliveries import Attempt, DueDelivery
from db.states import DeliveryState
from dicom_out.sender import SendOutcome, SendState

MAX_REFUSALS = 12
"""With the pauses of the default config half an hour: longer than a PACS's database takes to restart."""
_FINAL = {
    SendState.SENT: DeliveryState.SENT,
    SendState.WARNED: DeliveryState.WARNED,
    SendState.UNSUPPORTED: DeliveryState.UNSUPPORTED,
}
_MEANINGS = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0110: "processing failure",
    0x0117: "invalid SOP Instance UID",
    0x0122: "SOP class not supported",
    0x0124: "not authorised; allow our AE title to store there",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
}
_PASSING = {0x0110, 0x0213}


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait after a failure: doubled each time up to a limit, with jitter."""

    first_s: float
    limit_s: float

    def after(self, failures: int) -> timedelta:
        """Return the pause after so many failures."""
        seconds = min(self.limit_s, self.first_s * 2 ** min(max(failures, 1) - 1, 30))
        return timedelta(seconds=seconds * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load, guards nothing


def judge(
    delivery: DueDelivery, outcome: SendOutcome, *, now: datetime, backoff: Backoff, to_commit: bool = False
) -> Attempt:
    """Say what follows from an attempt.

    Parameters
    ----------
    delivery : DueDelivery
        As it was before the attempt.
    outcome : SendOutcome
        Of the attempt.
    now : datetime
        Aware.
    backoff : Backoff
        For what is tried again.
    to_commit : bool
        Whether the destination is to confirm what it stored.
    """
    if outcome.state in {SendState.SENT, SendState.WARNED}:
        return _attempt(delivery, outcome, _FINAL[outcome.state], now if to_commit else None)
    if outcome.state is SendState.UNSUPPORTED:
        return _attempt(delivery, outcome, DeliveryState.UNSUPPORTED, None)
    if outcome.state is not SendState.REFUSED or _passes(outcome):
        return _attempt(delivery, outcome, DeliveryState.PENDING, now + backoff.after(delivery.attempts + 1))
    refusals = delivery.refusals + 1
    if refusals >= MAX_REFUSALS:
        return _attempt(delivery, outcome, DeliveryState.FAILED, None)
    return _attempt(delivery, outcome, DeliveryState.PENDING, now + backoff.after(refusals))


def ends_round(outcome: SendOutcome) -> bool:
    """Say whether nothing more can be sent now: the line is broken, or the peer cannot take anything."""
    return outcome.state in {SendState.UNREACHABLE, SendState.NOT_SENT} or _passes(outcome)


def arrived(outcome: SendOutcome) -> bool:
    """Say whether the peer has the object."""
    return outcome.state in {SendState.SENT, SendState.WARNED}


def meaning(outcome: SendOutcome) -> str:
    """Return in words of ours how an attempt ended; what the peer wrote, which may name a patient, is not in it."""
    if outcome.status is None:
        return outcome.message or outcome.state.value
    return f"status 0x{outcome.status:04X}" + (f", {text}" if (text := _text(outcome.status)) else "")


def _attempt(
    delivery: DueDelivery, outcome: SendOutcome, state: DeliveryState, next_attempt_at: datetime | None
) -> Attempt:
    message = None if outcome.state is SendState.SENT else meaning(outcome)
    if message and outcome.message and outcome.status is not None:
        message += f": {outcome.message}"
    if state is DeliveryState.FAILED:
        message = f"{message}; given up after {MAX_REFUSALS} such answers, `opacity-node resend` sends it again"
    return Attempt(
        delivery_id=delivery.id,
        state=state,
        status=outcome.status,
        message=message,
        next_attempt_at=next_attempt_at,
        refused=outcome.state is SendState.REFUSED and not _passes(outcome),
    )


def _passes(outcome: SendOutcome) -> bool:
    """Say whether a failure status is one that waiting mends: no room, or a fault inside the peer."""
    status = outcome.status
    return outcome.state is SendState.REFUSED and status is not None and (status >> 8 == 0xA7 or status in _PASSING)


def _text(status: int) -> str:
    if status in _MEANINGS:
        return _MEANINGS[status]
    classes = {0xA7: "out of resources", 0xA9: "data set does not match SOP class"}
    if text := classes.get(status >> 8):
        return text
    return {0xC: "cannot understand", 0xB: "stored with a warning"}.get(status >> 12, "")
