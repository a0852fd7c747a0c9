"""The states that things pass through, as stored and as shown."""

from enum import StrEnum


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"
    SETTLED = "settled"
    HELD = "held"


class HoldReason(StrEnum):
    """Why a study waits for a person."""

    CONFLICT = "conflict"
    """An instance came again with other pixels or geometry."""
    IDENTITY_CONFLICT = "identity-conflict"
    """Instances disagree about whose they are."""
    MAX_REVISIONS = "max-revisions"
    """It changed more often than `settle.max_revisions` allows."""
    SETTLING_FAILED = "settling-failed"
    """A fault of ours."""
    DATABASE_REBUILT = "database-rebuilt"
    """Its rows were made anew from the archive; it had results whose delivery nobody knows any more."""


class InstanceRole(StrEnum):
    """Which of several receipts of one SOP Instance UID this is."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"
    OWN_RESULT = "own-result"
    """One of our results that came back; kept, and otherwise as if it had not come."""
    EXCLUDED = "excluded"
    """Of another patient than the study, by a person's decision."""


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
    CANCELLED = "cancelled"
    """Superseded by a later revision before it ran."""


class DeliveryState(StrEnum):
    """Where one object stands on its way to one destination."""

    PENDING = "pending"
    SENT = "sent"
    COMMITTED = "committed"
    WARNED = "warned"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNWANTED = "unwanted"
    """The settings of the destination leave the object out; it goes once they do not, and a person says so."""
