"""The states that things pass through, as stored and as shown."""

from enum import StrEnum


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"
    SETTLED = "settled"
    HELD = "held"


class InstanceRole(StrEnum):
    """Which of several receipts of one SOP Instance UID this is."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"


class SettleReason(StrEnum):
    """Why a revision of a study was taken as complete."""

    QUIET = "quiet"
    MAX_WAIT = "max-wait"


class Outcome(StrEnum):
    """What was decided about a stack."""

    RUN = "run"
    NOT_RUN = "not-run"


class JobState(StrEnum):
    """Where a job stands; FAILED with a time in `not_before` is retried then."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    HELD = "held"
    QUARANTINED = "quarantined"


class DeliveryState(StrEnum):
    """Where one object stands on its way to one destination."""

    PENDING = "pending"
    SENT = "sent"
    COMMITTED = "committed"
    WARNED = "warned"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    CANCELLED = "cancelled"
