"""Why a pipeline cannot run: its weights are not there, or are not what they should be. Each names the command."""

from collections.abc import Sequence
from dataclasses import replace

from inference.findings import Refusal
from inference.weights import manifest
from inference.weights.manifest import Slot

RERUN = "opacity-node models rerun"
MISSING, WRONG = CODES = ("weights-missing", "weights-wrong")
_MOST_NAMED = 3
"""Of more weights a message gives the number, and the command that lists them."""


class WeightsRefusedError(Exception):
    """A pipeline cannot run, or a recipe cannot train, for want of weights.

    Attributes
    ----------
    refusal : Refusal
        As `run`, `evaluate` and `train` tell it; `of_a_job` adds what a node can do.
    slots : tuple of Slot
        Whose weights it wants.
    """

    def __init__(self, refusal: Refusal, slots: Sequence[Slot]) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.slots = tuple(slots)


class MissingWeightsError(WeightsRefusedError):
    """Weights are not installed.

    Parameters
    ----------
    slots : sequence of Slot
        That are empty.
    pipeline : str, optional
        Which cannot do without them.
    """

    def __init__(self, slots: Sequence[Slot], *, pipeline: str = "") -> None:
        if pipeline and are_many(slots):
            reason, remedy = f"{count_of(slots, pipeline)} are missing.", f"Install them ({listing_command(pipeline)})."
        else:
            reason = f"Weights are not installed: {', '.join(slot.name for slot in slots)}."
            remedy = f"Install them ({install_command(slots)})."
        super().__init__(Refusal(code=MISSING, reason=reason, remedy=remedy), slots)


class WrongWeightsError(WeightsRefusedError):
    """Installed weights are not what they should be."""

    def __init__(self, slot: Slot, why: str) -> None:
        reason = f"The weights {slot.name} cannot be used: {why}."
        remedy = f"Nothing was deleted; {_instead(slot)}."
        super().__init__(Refusal(code=WRONG, reason=reason, remedy=remedy), [slot])


def of_a_job(refusal: Refusal) -> Refusal:
    """Return why a node's job was refused, with the command that runs it again where weights were all it wanted."""
    if refusal.code not in CODES:
        return refusal
    return replace(refusal, remedy=f"{refusal.remedy.removesuffix('.')}, then run what was refused ({RERUN}).")


def are_many(slots: Sequence[Slot]) -> bool:
    """Say whether slots are too many to name with their commands in a message."""
    return len(slots) > _MOST_NAMED


def count_of(slots: Sequence[Slot], pipeline: str) -> str:
    """Say how many of a pipeline's weights these are."""
    every = [s for s in manifest.SLOTS.values() if pipeline in (*s.required_by, *s.optional_for)]
    return f"{len(slots)} of {len(every)} weights of {pipeline}"


def listing_command(pipeline: str) -> str:
    """Say which command lists a pipeline's weights."""
    return f"`opacity-node pipelines {pipeline}` lists them with their commands"


def install_command(slots: Sequence[Slot]) -> str:
    """Return what to type to fill slots, and where a PATH in it comes from."""
    fetched = [slot for slot in slots if slot.url]
    commands = []
    if fetched:
        consent = "" if all(slot.pin for slot in fetched) else " --accept-unpinned"
        commands.append(f"opacity-node models fetch {' '.join(slot.name for slot in fetched)}{consent}")
    origins = dict.fromkeys(slot.made_with for slot in slots if slot.made_with)
    return "; ".join([*commands, *(slot.command for slot in slots if not slot.url), *origins])


def _instead(slot: Slot) -> str:
    if slot.shipped:
        return slot.command
    return f"install the right ones ({slot.command}) or take these away (opacity-node models remove {slot.name})"
