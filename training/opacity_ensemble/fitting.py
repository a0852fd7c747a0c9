"""The loop of `opacity-ensemble`: images with opacity -> ConvNeXt with a feature pyramid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from inference.networks.convnext_fpn import SIDE, TINY, ConvNeXtFPN, Widths, prepared
from training.augmentation import augmented
from training.errors import TrainingError
from training.imagenet import convnext_encoder
from training.opacity_ensemble.images import OpacityImage
from training.opacity_ensemble.nnunet_raw import at


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides what comes out, beside images, code and where it starts.

    Attributes
    ----------
    seed : int
        Of everything random.
    epochs, batch : int
        Passes over all images; images a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate at its highest.
    widths : Widths
        How large the network is: as it is used, but for tests.
    """

    seed: int = 20
    epochs: int = 60
    batch: int = 8
    learning_rate: float = 2e-4
    weight_decay: float = 0.02
    widths: Widths = field(default=TINY)


def fit(
    images: Sequence[OpacityImage],
    recipe: Recipe,
    *,
    imagenet: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
) -> ConvNeXtFPN:
    """Train a network.

    Parameters
    ----------
    images : sequence of OpacityImage
        What it learns from; at least one batch of them.
    recipe : Recipe
        How.
    imagenet : Mapping of Tensor, optional
        Torchvision's weights of ConvNeXt-tiny, for the encoder to start from.
    device : str
        Torch device.

    Returns
    -------
    ConvNeXtFPN
        On the CPU, for inference.

    Raises
    ------
    TrainingError
        If there are fewer images than a batch has.
    """
    if len(images) < recipe.batch:
        raise TrainingError(f"{len(images)} images are fewer than one batch, which has {recipe.batch}")
    torch.manual_seed(recipe.seed)
    network: ConvNeXtFPN = _start(recipe, imagenet).to(device).train()
    pairs = [_pair(image) for image in at(images, SIDE)]
    steps = recipe.epochs * (len(images) // recipe.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1)
    for _ in range(recipe.epochs):
        for inputs, wanted in _batches(pairs, recipe.batch):
            optimizer.zero_grad()
            loss(network(inputs.to(device)), wanted.to(device)).backward()
            optimizer.step()
            schedule.step()
    network.cpu().eval().requires_grad_(requires_grad=False)
    return network


def loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy, and one minus the Dice over the batch; both of shape (n, 1, rows, columns)."""
    found = logits.sigmoid()
    dice = (2 * (found * wanted).sum() + 1) / (found.sum() + wanted.sum() + 1)
    return binary_cross_entropy_with_logits(logits, wanted) + 1 - dice


def _start(recipe: Recipe, imagenet: Mapping[str, Tensor] | None) -> ConvNeXtFPN:
    network = ConvNeXtFPN(recipe.widths)
    if imagenet is not None:
        network.encoder.model.load_state_dict(convnext_encoder(imagenet))
    return network


def _pair(image: OpacityImage) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(image.pixels)[None], torch.from_numpy(image.opacity.astype(np.uint8))[None]


def _batches(pairs: Sequence[tuple[Tensor, Tensor]], batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    for some in torch.randperm(len(pairs)).split(batch):
        if len(some) == batch:
            seen = [_seen(*pairs[number]) for number in some.tolist()]
            yield torch.stack([image for image, _ in seen]), torch.stack([opacity for _, opacity in seen])


def _seen(image: Tensor, opacity: Tensor) -> tuple[Tensor, Tensor]:
    """Change an image at random, mirrored half the time, and prepare it as it is prepared in use."""
    if torch.rand(()) < 0.5:
        image, opacity = image.flip(-1), opacity.flip(-1)
    image, opacity = augmented(image, opacity, flipped=0.0, turned=0.0)
    return torch.from_numpy(prepared(image[0].numpy()))[None], opacity.float()
