"""The loop of `ct-severity`: prepared CTs -> LTC or I3D, by gradient descent, averaged over the last steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, binary_cross_entropy_with_logits, cross_entropy, grid_sample
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from inference.compute import dtype_on
from inference.networks import i3d, ltc
from inference.severity.network import FULL_WIDTH, Logits, SeverityNetwork

_HEADS = {"levels", "logits", "covid"}
_SHIFT, _ZOOM, _TURN, _GAIN = 0.06, 0.08, 0.12, 0.05
"""Of the field of view; in and out; radians in the plane of the slice; of the values."""
_LONGEST_STEP = 1.0
"""Norm of the gradient: one bad batch can silence LTC for good, as it normalises nothing."""
_LEAST_DEVIATION = 1e-6


class Network(StrEnum):
    """Which of the two."""

    LTC = "ltc"
    I3D = "i3d"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides what comes out, beside CTs and code.

    Attributes
    ----------
    network : Network
        Which.
    width : int
        Channels of its first convolution.
    size : tuple of 3 int
        Slices, rows and columns of its input.
    seed : int
        Of everything random; a fold adds its number.
    folds, epochs, batch : int
        Of the cross-validation, 0 for none; passes over all CTs; CTs a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate at its highest.
    averaging : float
        Share of the running average that a step leaves.
    dropout : float
        Share of values before the heads that are left out.
    covid_weight : float
        Of the binary cross-entropy on COVID-19 beside the cross-entropy on levels.
    variation : float
        Of shifts, zooms, turns and densities, as a share of the largest. CTs are never mirrored: the heart is on the
        left.
    """

    network: Network = Network.LTC
    width: int = FULL_WIDTH
    size: tuple[int, int, int] = ltc.SIZE
    seed: int = 20
    folds: int = 4
    epochs: int = 60
    batch: int = 8
    learning_rate: float = 5e-4
    weight_decay: float = 0.02
    averaging: float = 0.98
    dropout: float = 0.5
    covid_weight: float = 0.5
    variation: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Examples:
    """Prepared CTs and what is known of them.

    Attributes
    ----------
    volumes : Tensor of float16, shape (n, 1, slices, rows, columns)
        From 0 to 1.
    levels : Tensor of int64, shape (n,)
        From 0.
    covid : Tensor of float32, shape (n,)
        0 or 1; NaN where it is not known.
    """

    volumes: Tensor
    levels: Tensor
    covid: Tensor


def untrained(recipe: Recipe) -> SeverityNetwork:
    """Make the network of a recipe, to be trained."""
    kind = ltc.LTC if recipe.network is Network.LTC else i3d.I3D
    return kind(width=recipe.width, size=recipe.size, dropout=recipe.dropout)


def fit(
    examples: Examples, recipe: Recipe, *, seed: int, start: Mapping[str, Tensor] | None = None, device: str = "cpu"
) -> dict[str, Tensor]:
    """Train a network; on a CPU it repeats to the bit on the same machine with as many threads.

    Parameters
    ----------
    examples : Examples
        What it learns from.
    recipe : Recipe
        How.
    seed : int
        Of this run.
    start : Mapping[str, Tensor], optional
        Values to begin with, of some or all layers.
    device : str
        Torch device.

    Returns
    -------
    dict of str to Tensor
        The state dict, on the CPU, float32.
    """
    torch.manual_seed(seed)
    network = untrained(recipe)
    _begin(network)
    if recipe.network is Network.LTC:
        some = torch.randperm(len(examples.levels), generator=torch.Generator().manual_seed(seed))[: recipe.batch]
        _even_out(network, examples.volumes[some].float())
    network.load_state_dict(dict(start or {}), strict=False)
    network = network.to(device).to(memory_format=torch.channels_last_3d)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging))
    batch = min(recipe.batch, len(examples.levels))
    steps = recipe.epochs * (len(examples.levels) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1)
    network.train()
    for _ in range(recipe.epochs):
        for some in torch.randperm(len(examples.levels)).split(batch):
            if len(some) == batch:
                inputs = varied(examples.volumes[some].to(device).float(), recipe.variation)
                optimizer.zero_grad()
                with torch.autocast(torch.device(device).type, dtype_on(device), enabled=_is_narrow(device)):
                    logits = network(inputs.contiguous(memory_format=torch.channels_last_3d))
                wanted = examples.levels[some].to(device), examples.covid[some].to(device)
                loss(logits, *wanted, covid_weight=recipe.covid_weight).backward()
                nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_STEP)
                optimizer.step()
                schedule.step()
                average.update_parameters(network)
    update_bn(_as_they_are(examples, batch, device), average)
    return {name: value.detach().cpu().contiguous() for name, value in average.module.state_dict().items()}


def loss(logits: Logits, levels: Tensor, covid: Tensor, *, covid_weight: float) -> Tensor:
    """Cross-entropy on levels, and binary cross-entropy on COVID-19 where it is known.

    Parameters
    ----------
    logits : Logits
        Of the network, for n CTs.
    levels : Tensor of int64, shape (n,)
        From 0.
    covid : Tensor of float32, shape (n,)
        0, 1 or NaN.
    covid_weight : float
        Of the second.
    """
    known = ~covid.isnan()
    total = cross_entropy(logits.levels.float(), levels)
    if known.any():
        total = total + covid_weight * binary_cross_entropy_with_logits(logits.covid.float()[known], covid[known])
    return total


def varied(volumes: Tensor, variation: float) -> Tensor:
    """Shift, zoom, turn in the plane of the slice, and make denser or less, each at random; what is 0 stays so.

    Parameters
    ----------
    volumes : Tensor of float32, shape (n, 1, slices, rows, columns)
        From 0 to 1.
    variation : float
        In [0, 1]; 0 changes nothing.
    """
    if not variation:
        return volumes
    count, on = len(volumes), volumes.device
    shift, zoom, turn, gain = (
        (torch.rand(count, 3) * 2 - 1).to(on) * most * variation for most in (2 * _SHIFT, _ZOOM, _TURN, _GAIN)
    )
    places = torch.zeros(count, 3, 4, device=on)
    places[:, :, 3] = shift
    places[:, 2, 2] = 1 + zoom[:, 0]
    cosine, sine = (1 + zoom[:, 1]) * turn[:, 0].cos(), (1 + zoom[:, 1]) * turn[:, 0].sin()
    places[:, 0, 0] = places[:, 1, 1] = cosine
    places[:, 0, 1], places[:, 1, 0] = -sine, sine
    moved = grid_sample(volumes, affine_grid(places, list(volumes.shape), align_corners=False), align_corners=False)
    return (moved * (1 + gain[:, 0].view(-1, 1, 1, 1, 1))).clamp(0.0, 1.0)


def _begin(network: nn.Module) -> None:
    """Draw values after He et al., https://arxiv.org/abs/1502.01852."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            if name.partition(".")[0] in _HEADS:
                nn.init.normal_(layer.weight, std=0.01)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _even_out(network: nn.Module, volumes: Tensor) -> None:
    """Scale and shift every channel so that it says 0 on average on some CTs, with a deviation of 1.

    LTC normalises nothing itself, and without learns little from many a seed. After Mishkin and Matas, ICLR 2016,
    https://arxiv.org/abs/1511.06422, who scale whole layers.
    """
    network.eval()
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv3d | nn.Linear) and layer.bias is not None and name not in _HEADS:
            said = _said(layer, network, volumes).transpose(0, 1).flatten(1)
            deviation = said.std(dim=1).clamp_min(_LEAST_DEVIATION)
            with torch.no_grad():
                layer.weight /= deviation.view(-1, *[1] * (layer.weight.ndim - 1))
                layer.bias -= said.mean(dim=1)
                layer.bias /= deviation


def _said(layer: nn.Module, network: nn.Module, volumes: Tensor) -> Tensor:
    """Return what a layer says within a network."""
    heard: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, _given, said: heard.append(said))
    with torch.no_grad():
        network(volumes)
    handle.remove()
    return heard[0]


def _is_narrow(device: str) -> bool:
    return dtype_on(device) != torch.float32


def _as_they_are(examples: Examples, batch: int, device: str) -> Iterator[Tensor]:
    for some in examples.volumes.split(batch):
        yield some.to(device).float()
