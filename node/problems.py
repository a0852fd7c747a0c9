"""What a monitor and a person are told: how bad it is, what it is, and what to do."""

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """Exit status of `status --check`, as monitors read it."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something to look at, and what to do."""

    severity: Severity
    message: str
