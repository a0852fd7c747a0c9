"""What follows from an attempt at a delivery."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.repository.deliveries import DueDelivery
from db.states import DeliveryState
from dicom_out.sender import SendOutcome, SendState, _outcome
from node.retries import MAX_REFUSALS, Backoff, ends_round, judge, meaning

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
BACKOFF = Backoff(first_s=5, limit_s=300)
PENDING, SENT, WARNED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.WARNED,
    DeliveryState.FAILED,
)


def due(**changes) -> DueDelivery:
    values = {"id": 1, "path": "p", "sop_class_uid": "1", "sop_instance_uid": "2", "sha256": "", "attempts": 0}
    return DueDelivery(**(values | changes))


def answered(status: int, comment: str | None = None) -> SendOutcome:
    return _outcome(Path("p"), status, comment)


@pytest.mark.parametrize(
    ("status", "first", "in_the_end", "word"),
    [
        (0x0000, SENT, SENT, None),
        (0xB000, WARNED, WARNED, "warning"),
        (0xB006, WARNED, WARNED, "warning"),
        (0x0001, WARNED, WARNED, "0x0001"),
        (0x0107, WARNED, WARNED, "0x0107"),
        (0x0116, WARNED, WARNED, "0x0116"),
        (0x0111, WARNED, WARNED, "already"),
        (0xA700, PENDING, PENDING, "out of resources"),
        (0xA7FF, PENDING, PENDING, "out of resources"),
        (0x0110, PENDING, PENDING, "processing failure"),
        (0x0213, PENDING, PENDING, "resource limitation"),
        (0xA900, PENDING, FAILED, "does not match"),
        (0xA9FF, PENDING, FAILED, "does not match"),
        (0xC000, PENDING, FAILED, "cannot understand"),
        (0xCFFF, PENDING, FAILED, "cannot understand"),
        (0x0117, PENDING, FAILED, "invalid SOP Instance UID"),
        (0x0122, PENDING, FAILED, "not supported"),
        (0x0124, PENDING, FAILED, "not authorised"),
        (0x0211, PENDING, FAILED, "unrecognised"),
        (0xFE00, PENDING, FAILED, "0xFE00"),
    ],
)
def test_every_class_of_status_is_judged_by_what_will_mend_it(status, first, in_the_end, word):
    outcome = answered(status)
    attempt = judge(due(), outcome, now=NOW, backoff=BACKOFF)
    assert attempt.state is first
    assert (attempt.next_attempt_at is not None) == (first is PENDING)
    last = judge(due(attempts=5000, refusals=MAX_REFUSALS - 1), outcome, now=NOW, backoff=BACKOFF)
    assert last.state is in_the_end
    if word is not None:
        assert word in attempt.message
    if in_the_end is FAILED:
        assert "resend" in last.message


@pytest.mark.parametrize("state", [SendState.UNREACHABLE, SendState.NOT_SENT])
def test_a_broken_line_is_never_given_up(state):
    outcome = SendOutcome(path=Path("p"), state=state, message="it hung up")
    attempt = judge(due(attempts=100_000, refusals=MAX_REFUSALS - 1), outcome, now=NOW, backoff=BACKOFF)
    assert attempt.state is PENDING
    assert not attempt.refused
    assert ends_round(outcome)


def test_a_context_that_the_peer_rejects_is_final_and_ends_no_round():
    outcome = SendOutcome(path=Path("p"), state=SendState.UNSUPPORTED, message="PACS does not take SEG")
    attempt = judge(due(), outcome, now=NOW, backoff=BACKOFF)
    assert (attempt.state, attempt.next_attempt_at) == (DeliveryState.UNSUPPORTED, None)
    assert not ends_round(outcome)


def test_a_peer_without_room_ends_the_round_and_one_that_dislikes_an_object_does_not():
    assert ends_round(answered(0xA700))
    assert ends_round(answered(0x0110))
    assert not ends_round(answered(0xC000))
    assert not ends_round(answered(0x0000))


def test_what_arrived_is_due_for_a_question_only_where_the_destination_is_to_confirm():
    assert judge(due(), answered(0), now=NOW, backoff=BACKOFF, to_commit=True).next_attempt_at == NOW
    assert judge(due(), answered(0), now=NOW, backoff=BACKOFF).next_attempt_at is None


def test_the_peers_own_words_are_kept_for_the_operator_and_out_of_the_log():
    outcome = answered(0xC001, "patient DOE^JANE unknown")
    assert "DOE" in judge(due(), outcome, now=NOW, backoff=BACKOFF).message
    assert "DOE" not in meaning(outcome)


def test_the_pause_doubles_up_to_its_limit_with_jitter():
    pauses = [[BACKOFF.after(n).total_seconds() for _ in range(50)] for n in (1, 2, 3, 20, 10_000)]
    for pause, longest in zip(pauses, (5, 10, 20, 300, 300), strict=True):
        assert 0.8 * longest <= min(pause) < max(pause) <= longest


OUTCOMES = st.one_of(
    st.integers(0, 0xFFFF).map(answered),
    st.sampled_from([SendState.UNREACHABLE, SendState.UNSUPPORTED]).map(
        lambda state: SendOutcome(path=Path("p"), state=state, message="m")
    ),
)


@given(st.lists(OUTCOMES, max_size=60))
def test_whatever_peers_answer_a_delivery_ends_for_a_reason_or_is_tried_again_within_the_limit(outcomes):
    delivery, refused = due(), 0
    for outcome in outcomes:
        attempt = judge(delivery, outcome, now=NOW, backoff=BACKOFF)
        refused += attempt.refused
        if attempt.state is not PENDING:
            assert attempt.next_attempt_at is None
            assert attempt.state is not FAILED or refused == MAX_REFUSALS
            assert (attempt.state in {SENT, WARNED}) == (outcome.state in {SendState.SENT, SendState.WARNED})
            return
        assert NOW < attempt.next_attempt_at <= NOW + timedelta(seconds=BACKOFF.limit_s)
        assert refused < MAX_REFUSALS
        delivery = due(attempts=delivery.attempts + 1, refusals=refused)
