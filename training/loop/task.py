"""What a recipe says of itself, for the loop to do the rest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import default_collate

from evaluation.judging import Settings
from evaluation.rows import Row
from evaluation.truth.known import Kind


class Example(Protocol):
    """One image with its truth, not yet read."""

    @property
    def name(self) -> str:
        """Of the image: what records and reports call it."""

    @property
    def patient(self) -> str:
        """Whose other images must be in the same fold."""

    @property
    def digest(self) -> str:
        """Of all that is known of it, and of its files."""


ExampleT = TypeVar("ExampleT", bound=Example)


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a network begins with.

    Attributes
    ----------
    said : str
        For the record: "random values", or the slot or file and its hash.
    state : Mapping[str, Tensor]
        Values to begin with, named as the network names them; those that it lacks are drawn by the seed.
    """

    said: str = "random values"
    state: Mapping[str, Tensor] | None = None


class Task(ABC, Generic[ExampleT]):
    """One network to be learnt.

    Parameters
    ----------
    examples : sequence of Example
        All of them; the loop deals them out by patient.

    Attributes
    ----------
    slot : str
        Whose file it makes, as `inference/weights.toml` names it. Network and outputs, in their order, are the slot's.
    numbers : Mapping[str, Any]
        Every setting beside those of `Plan` that decides what comes out: plain values, for metadata and card.
    data : Mapping[str, Any]
        What the examples are, for the card: origin, counts, what was left out and why.
    limits : tuple of str
        Sentences for the card.
    place : Path
        Where the examples are, for the report.
    kind : evaluation.truth.known.Kind
        Of what is known of them, for the report.
    settings : evaluation.judging.Settings
        Names and numbers by which the report is made.
    start : Start
        What the network begins with, for the record.
    watches : ClassVar[bool]
        Whether the loss on the held-out fold is computed after each epoch. It decides nothing: the last epoch's
        values are kept.
    """

    slot: str
    numbers: Mapping[str, Any]
    data: Mapping[str, Any]
    limits: tuple[str, ...]
    place: Path
    kind: Kind
    settings: Settings
    start: Start
    watches: ClassVar[bool] = True

    def __init__(self, examples: Sequence[ExampleT]) -> None:
        self.examples = examples

    @abstractmethod
    def network(self) -> nn.Module:
        """Make the network with what it starts from; the loop has set the seed."""

    def frozen(self, network: nn.Module) -> Sequence[nn.Module]:  # noqa: ARG002 - of those recipes that freeze parts
        """Return the parts that stay as they are: no gradient, and always in evaluation mode."""
        return ()

    @abstractmethod
    def sample(self, number: int, *, varied: bool) -> Any:  # noqa: ANN401 - what `collate` takes
        """Read an example, and change it at random where it is to be learnt from.

        May run in another process. Random numbers come from torch's own generator, which the loop has seeded for this
        example and epoch.
        """

    def collate(self, samples: list[Any]) -> Any:  # noqa: ANN401 - what `losses` takes
        """Make a batch of samples."""
        return default_collate(samples)

    @abstractmethod
    def losses(self, network: nn.Module, batch: Any) -> Mapping[str, Tensor]:  # noqa: ANN401 - of `collate`
        """Return ``loss``, which is made small, and beside it what else the log is to show."""

    @abstractmethod
    def optimizer(self, parameters: Sequence[nn.Parameter]) -> Optimizer:
        """Return what changes the parameters that are not frozen."""

    def schedule(self, optimizer: Optimizer, *, steps: int, epochs: int) -> LRScheduler | None:  # noqa: ARG002
        """Return what changes the learning rate after each step, of which an epoch has `steps`; None leaves it."""
        return None

    def learnt(self, network: nn.Module) -> nn.Module:
        """Return the part whose values go into the file: named and shaped as the slot's network."""
        return network

    @abstractmethod
    def judged(self, network: nn.Module, number: int, device: str) -> Row:
        """Compare what the network says of an example with its truth; the loop fills in whose it is."""

    def told(self, rows: Sequence[Row]) -> Mapping[str, Any]:  # noqa: ARG002 - of those recipes that have more to say
        """Return more numbers for the card, such as a threshold; from the rows of the held-out fold."""
        return {}
