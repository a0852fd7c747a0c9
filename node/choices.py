"""What happens to a stack, and what CT and X-ray selection both ask of it. Pure."""

from dataclasses import dataclass

from inference.findings import Refusal
from node.stacks import Stack

_CHEST = ("CHEST", "THORAX", "LUNG", "TAP", "WHOLEBODY", "WHOLE BODY", "ENTIRE BODY", "TRUNK")
_SAYS_NOTHING = frozenset({"", "UNKNOWN", "UNDEFINED", "UNSPECIFIED", "NONE", "N/A"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What happens to a stack, and why; `refusal` where the pipeline cannot read it."""

    stack: Stack
    runs: bool
    code: str
    reason: str
    refusal: Refusal | None = None


def refused(stack: Stack, refusal: Refusal) -> Choice:
    """Return the choice not to run, for a reason that the images give."""
    return Choice(stack=stack, runs=False, code=refusal.code, reason=str(refusal), refusal=refusal)


def states_body_part(stack: Stack) -> bool:
    """Say whether a stack tells which part of the body it shows."""
    return stack.first.body_part_examined.upper() not in _SAYS_NOTHING


def wrong_body_part(stack: Stack) -> Refusal | None:
    """Refuse what shows another part of the body than the chest; what does not say is not refused."""
    if not states_body_part(stack) or any(part in stack.first.body_part_examined.upper() for part in _CHEST):
        return None
    return Refusal(
        code="not-chest",
        reason=f"Body part {stack.first.body_part_examined} is not the chest.",
        remedy="If it is, correct Body Part Examined (0018,0015) and send it again.",
    )
