"""How long, how many at a time, on what, and which fold is held out: what all tasks are asked for."""

from dataclasses import dataclass
from enum import StrEnum

from training.errors import TrainingError


class PlanError(TrainingError):
    """Numbers that cannot be; says what to change."""


class Precision(StrEnum):
    """In which numbers a network computes while it learns; its weights are float32 at any."""

    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a person may choose of any recipe.

    Attributes
    ----------
    epochs, batch : int
        Passes over all examples; examples a step.
    seed : int
        Of everything random.
    folds, fold : int
        Into how many parts patients are dealt out, and which of them, from 1, is held out; 0 folds hold out nothing.
    precision : Precision
        Of the computation.
    device : str
        Torch device.
    workers : int
        Processes that read examples; 0 reads them in between. Changes nothing of what comes out.
    licence : str
        Under which the weights may be used, as the person says.
    is_shown : bool
        Whether progress is drawn on the terminal.
    """

    epochs: int
    batch: int
    seed: int = 20
    folds: int = 5
    fold: int = 1
    precision: Precision = Precision.FULL
    device: str = "cpu"
    workers: int = 0
    licence: str = "not stated"
    is_shown: bool = False

    def __post_init__(self) -> None:
        if least := [name for name in ("epochs", "batch") if getattr(self, name) < 1]:
            raise PlanError(f"{' and '.join(least)} must be at least 1.")
        if self.folds < 0 or self.folds == 1:
            raise PlanError("folds must be 0, which holds out nothing, or at least 2.")
        if self.folds and not 1 <= self.fold <= self.folds:
            raise PlanError(f"fold must be from 1 to {self.folds}.")
        if self.precision is Precision.FP16 and self.device == "cpu":
            raise PlanError("16-mixed needs a GPU; a CPU computes in bf16-mixed or 32-true.")

    @property
    def decisive(self) -> dict[str, object]:
        """All of it that decides what comes out."""
        names = ("epochs", "batch", "seed", "folds", "fold", "precision", "device")
        return {name: str(value) if isinstance(value := getattr(self, name), StrEnum) else value for name in names}
