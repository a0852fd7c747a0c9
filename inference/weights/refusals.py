"""Why a pipeline cannot run: its weights are not there, or are not what they should be. Each names the command."""

from collections.abc import Sequence

from inference.findings import Refusal
from inference.weights.manifest import Slot

RERUN = "opacity-node models rerun"
MISSING, WRONG = CODES = ("weights-missing", "weights-wrong")


class WeightsRefusedError(Exception):
    """A pipeline cannot run for want of its weights."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class MissingWeightsError(WeightsRefusedError):
    """Weights are not installed."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        names = ", ".join(slot.name for slot in slots)
        super().__init__(
            Refusal(
                code=MISSING,
                reason=f"Weights are not installed: {names}.",
                remedy=f"Install them ({install_command(slots)}), then run what was refused ({RERUN}).",
            )
        )
        self.slots = tuple(slots)


class WrongWeightsError(WeightsRefusedError):
    """Installed weights are not what they should be."""

    def __init__(self, slot: Slot, why: str) -> None:
        super().__init__(
            Refusal(
                code=WRONG,
                reason=f"The weights {slot.name} cannot be used: {why}.",
                remedy=f"Nothing was deleted; {_instead(slot)}, then run what was refused ({RERUN}).",
            )
        )
        self.slot = slot


def install_command(slots: Sequence[Slot]) -> str:
    """Return what to type to fill slots."""
    fetched = [slot for slot in slots if slot.url]
    commands = []
    if fetched:
        consent = "" if all(slot.pin for slot in fetched) else " --accept-unpinned"
        commands.append(f"opacity-node models fetch {' '.join(slot.name for slot in fetched)}{consent}")
    return "; ".join([*commands, *(slot.command for slot in slots if not slot.url)])


def _instead(slot: Slot) -> str:
    if slot.shipped:
        return slot.command
    return f"install the right ones ({slot.command}) or take these away (opacity-node models remove {slot.name})"
