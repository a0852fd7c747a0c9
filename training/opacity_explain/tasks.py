"""What each network learns, as the loop asks for it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from evaluation import maps
from evaluation.judging import Settings
from evaluation.outputs import Outputs
from evaluation.overlap import overlap
from evaluation.rows import Row, State
from evaluation.truth.known import Kind as TruthKind
from inference.networks.encoders import channels, encoder, features
from inference.networks.lung_unet import LUNGS, LungUNet
from inference.networks.map_decoder import MapDecoder
from inference.opacity_explain.decisions import Side
from inference.resized import resized
from training.loop.task import Start, Task
from training.opacity_explain.numbers import Kind, Numbers, Part
from training.opacity_explain.views import Seen, Xray, of_lung, varied_more, whole

_MARKED_FROM = 0.5
_TRUE_NEGATIVES = 0.99
_MOST_OFF = 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What all parts have in common.

    Attributes
    ----------
    numbers : Numbers
        How it is trained.
    architecture : str
        timm's name of the encoder.
    start : Start
        Of the encoder.
    place : Path
        Where the images are.
    data : Mapping
        What they are, for the card.
    limits : tuple of str
        For the card.
    """

    numbers: Numbers
    architecture: str
    start: Start
    place: Path
    data: Mapping[str, Any]
    limits: tuple[str, ...] = ()


class _Part(Task[Xray]):
    """A part of the cascade: AdamW, and a rate that falls as the table says."""

    def __init__(self, part: Part, made: Made, examples: Sequence[Xray]) -> None:
        super().__init__(examples)
        self.part = part
        self.made = made
        self.slot = part.slot
        self.numbers = {**asdict(made.numbers), "architecture": made.architecture}
        self.data, self.limits, self.place, self.start = made.data, made.limits, made.place, made.start

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> Optimizer:
        """AdamW."""
        return AdamW(parameters, lr=self.made.numbers.learning_rate, weight_decay=self.made.numbers.weight_decay)

    def schedule(self, optimizer: Optimizer, *, steps: int, epochs: int) -> LRScheduler:  # noqa: ARG002 - the loop's
        """Let the rate fall as the table says."""
        return LambdaLR(optimizer, partial(rate_at, self.made.numbers, steps))

    def _encoder(self) -> nn.Module:
        network: Any = encoder(self.made.architecture)
        network.get_classifier().reset_parameters()  # timm draws EfficientNet's so large that it is long in shrinking
        if self.made.start.state is not None:
            network.load_state_dict({**network.state_dict(), **self.made.start.state})
        made: nn.Module = network
        return made

    def _seen(self, number: int, *, varied: bool) -> Seen:
        """Show an example: all of it, or the lung that is learnt."""
        example, degrees = self.examples[number], self.made.numbers.degrees if varied else 0.0
        seen = _shown(example, self.part.side, degrees) or _shown(example, self.part.side, 0.0)
        if seen is None:
            raise ValueError(f"{example.name} has no {self.part.side} lung")
        return seen


class ClassifierTask(_Part):
    """Opacity or not, of the whole image."""

    kind = TruthKind.LABELS
    settings = Settings(outputs=Outputs(score="Opacity probability"))

    def network(self) -> nn.Module:
        """Make the encoder, which scores."""
        return self._encoder()

    def sample(self, number: int, *, varied: bool) -> tuple[Tensor, Tensor]:
        """Show the whole image, and whether it shows opacity."""
        seen = self._seen(number, varied=varied)
        return _image(seen.view), torch.tensor(float(self.examples[number].image.is_opaque))

    def losses(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Binary cross-entropy."""
        images, is_opaque = batch
        return {"loss": binary_cross_entropy_with_logits(network(images)[:, 0].float(), is_opaque)}

    def judged(self, network: nn.Module, number: int, device: str) -> Row:
        """Compare score and label."""
        image, is_opaque = self.sample(number, varied=False)
        score = float(network(image[None].to(device)).float().sigmoid())
        return Row(path="", state=State.JUDGED, label=int(is_opaque), score=score)

    def told(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Return the threshold that the source took: about 99 % of images without opacity are below it."""
        negative = [row.score for row in rows if row.label == 0 and row.score is not None]
        share = float(np.quantile(negative, _TRUE_NEGATIVES, method="higher")) if negative else None
        return {"threshold_at_99_percent_true_negatives": share}


class RegressorTask(_Part):
    """How far opacity extends in one lung."""

    kind = TruthKind.MASKS
    settings = Settings(outputs=Outputs())

    def network(self) -> nn.Module:
        """Make the encoder, whose output is the extent."""
        return self._encoder()

    def sample(self, number: int, *, varied: bool) -> tuple[Tensor, Tensor]:
        """Show the lung, and which share of it is opacity."""
        seen = self._seen(number, varied=varied)
        return _image(seen.view), torch.tensor(seen.extent)

    def losses(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Mean of squared and absolute error."""
        images, extent = batch
        said = network(images)[:, 0].float()
        return {"loss": (mse_loss(said, extent) + l1_loss(said, extent)) / 2}

    def judged(self, network: nn.Module, number: int, device: str) -> Row:
        """Compare extents."""
        image, extent = self.sample(number, varied=False)
        said = float(network(image[None].to(device)).float().clamp(0, 1))
        return Row(path="", state=State.JUDGED, amount=float(extent), found_amount=said)


class MapTask(_Part):
    """Where opacity is; the encoder is that of a classifier or a regressor, and stays as it is."""

    kind = TruthKind.MASKS
    settings = Settings(outputs=Outputs(masks=("opacity",), map="opacity probability"))

    def network(self) -> nn.Module:
        """Make the encoder and a decoder."""
        return _Mapping(self._encoder(), MapDecoder(channels(self.made.architecture)))

    def frozen(self, network: nn.Module) -> Sequence[nn.Module]:
        """Keep the encoder, which scores, as it is."""
        return [_mapping(network).encoder]

    def learnt(self, network: nn.Module) -> nn.Module:
        """Keep the decoder alone in the file."""
        return _mapping(network).decoder

    def sample(self, number: int, *, varied: bool) -> tuple[Tensor, Tensor]:
        """Show what the encoder scores, and where opacity is in it."""
        seen = self._seen(number, varied=varied)
        if varied and self.made.numbers.is_varied_more:
            seen = varied_more(seen)
        return _image(seen.view), _image(seen.opacity)

    def losses(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """One minus Dice."""
        images, opacity = batch
        return {"loss": dice_loss(network(images).float().sigmoid(), opacity)}

    def judged(self, network: nn.Module, number: int, device: str) -> Row:
        """Compare what is marked, pixel by pixel of the map."""
        image, opacity = self.sample(number, varied=False)
        values = network(image[None].to(device)).float().sigmoid()[0].cpu().numpy()
        truth = opacity.numpy() >= _MARKED_FROM
        loss = maps.weighted_log_loss(
            values, truth, missed_weight=self.settings.missed_weight, floor=self.settings.floor
        )
        regions = {"opacity": overlap(truth, values >= _MARKED_FROM)}
        return Row(path="", state=State.JUDGED, regions=regions, map_loss=loss)


class LungsTask(_Part):
    """Right and left lung."""

    kind = TruthKind.MASKS
    settings = Settings(outputs=Outputs(masks=LUNGS))

    def __init__(self, part: Part, made: Made, examples: Sequence[Xray], decoder: tuple[int, ...] | None) -> None:
        super().__init__(part, made, examples)
        self._make: Callable[[], nn.Module] = (
            partial(LungUNet, made.architecture, decoder) if decoder else partial(LungUNet, made.architecture)
        )

    def network(self) -> nn.Module:
        """Make the U-Net."""
        return self._make()

    def sample(self, number: int, *, varied: bool) -> tuple[Tensor, Tensor]:
        """Show the whole image, and both lungs."""
        read = self.examples[number].read(self.made.numbers.degrees if varied else 0.0)
        view = whole(read).view
        lungs = [resized(mask.astype(np.float32), view.shape) for mask in read.others]
        return _image(view), torch.from_numpy(np.stack(lungs))

    def losses(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """One minus the mean Dice of both."""
        images, lungs = batch
        found = network(images).float().sigmoid()
        return {"loss": torch.stack([dice_loss(found[:, side], lungs[:, side]) for side in range(len(LUNGS))]).mean()}

    def judged(self, network: nn.Module, number: int, device: str) -> Row:
        """Compare both lungs."""
        image, lungs = self.sample(number, varied=False)
        found = network(image[None].to(device)).float().sigmoid()[0].cpu().numpy() >= _MARKED_FROM
        truth = lungs.numpy() >= _MARKED_FROM
        regions = {name: overlap(truth[side], found[side]) for side, name in enumerate(LUNGS)}
        return Row(path="", state=State.JUDGED, regions=regions)


class _Mapping(nn.Module):
    """An encoder, and the decoder that learns what it knows."""

    def __init__(self, encoder: nn.Module, decoder: MapDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            found = features(self.encoder, images)
        logits: Tensor = self.decoder(found)
        return logits


def rate_at(numbers: Numbers, steps: int, step: int) -> float:
    """Return what the learning rate is multiplied by at a step, of which an epoch has `steps`."""
    epoch, within = divmod(step, max(steps, 1))
    annealed = (1 + math.cos(math.pi * within / steps)) / 2 if numbers.is_annealed else 1.0
    return float(numbers.decay**epoch * annealed)


def dice_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Return one minus the Dice over a batch, both in [0, 1] and of one shape."""
    return 1 - (2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1)


TASKS: Mapping[Kind, Callable[[Part, Made, Sequence[Xray]], Task[Xray]]] = {
    Kind.CLASSIFIER: ClassifierTask,
    Kind.REGRESSOR: RegressorTask,
    Kind.MAP: MapTask,
}
"""Of all parts but the lungs."""


def _shown(example: Xray, side: Side | None, degrees: float) -> Seen | None:
    read = example.read(degrees)
    return whole(read) if side is None else of_lung(read, side)


def _image(values: Any) -> Tensor:  # noqa: ANN401 - an array of float32
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None]


def _mapping(network: nn.Module) -> _Mapping:
    if not isinstance(network, _Mapping):
        raise TypeError("not a network of this task")
    return network
