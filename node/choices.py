"""What happens to a stack, and what CT and X-ray selection both ask of it. Pure."""

from dataclasses import dataclass

from inference.findings import Refusal
from node.body_parts import BodyPart, named_part
from node.stacks import Stack


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


def named_by(stack: Stack) -> BodyPart:
    """Return which part of the body a stack says that it shows."""
    return named_part(stack.first.body_part_examined)


def wrong_body_part(stack: Stack) -> Refusal | None:
    """Refuse what names another part of the body than the chest; the pipeline judges what names none."""
    if named_by(stack) is not BodyPart.ANOTHER:
        return None
    return Refusal(
        code="not-chest",
        reason=f"Body part {stack.first.body_part_examined} is not the chest.",
        remedy="If it is, correct Body Part Examined (0018,0015) and send it again.",
    )


def unknown_body_part(stack: Stack) -> str:
    """Say who judges a body part of which it is not known here whether it is the chest; empty where it is known."""
    if named_by(stack) is not BodyPart.UNKNOWN:
        return ""
    return f" Whether its body part {stack.first.body_part_examined} is the chest, the pipeline judges."
