"""The loop: images -> a network, by gradient descent, averaged over the last steps."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from inference.lung_probabilities import equalised
from inference.networks.lung_fields import LungFieldsNet
from training.augmentation import augmented
from training.lung_fields.chest_images import ChestImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides what comes out, beside images and code.

    Attributes
    ----------
    version : int
        Rises with every change of what is shipped.
    seed : int
        Of everything random; a fold adds its number.
    folds, epochs, batch : int
        Of the cross-validation; passes over all images; images a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate at its highest.
    averaging : float
        Share of the running average that a step leaves.
    flipped, turned : float
        Shares of images, see `training.augmentation.augmented`.
    """

    version: int = 2
    seed: int = 20
    folds: int = 5
    epochs: int = 80
    batch: int = 8
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    averaging: float = 0.99
    flipped: float = 0.5
    turned: float = 0.06


def fit(images: list[ChestImage], recipe: Recipe, *, seed: int) -> LungFieldsNet:
    """Train a network on one thread, which repeats to the bit on the same machine.

    Parameters
    ----------
    images : list of ChestImage
        What it learns from.
    recipe : Recipe
        How.
    seed : int
        Of this run.

    Returns
    -------
    LungFieldsNet
        On the CPU, for inference.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    grids = [tuple(torch.from_numpy(part)[None] for part in image.on_grid()) for image in images]
    network = LungFieldsNet().to(memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    steps = recipe.epochs * (len(images) // recipe.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1)
    for _ in range(recipe.epochs):
        for inputs, wanted in _batches(grids, recipe):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):  # nearly twice as fast; the weights stay float32
                logits = network(inputs)
            loss(logits.float(), wanted).backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
    network.load_state_dict(average.module.state_dict())
    return network.eval().requires_grad_(requires_grad=False)


def loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy, and one minus the Dice of either lung over the batch.

    Parameters
    ----------
    logits : Tensor of float32, shape (n, 3, side, side)
        Of the network.
    wanted : Tensor of int64, shape (n, side, side)
        Labels.
    """
    found = logits.softmax(1)[:, 1:]
    truth = torch.stack([wanted == 1, wanted == 2], dim=1).float()
    both = (found * truth).sum((0, 2, 3))
    dice = (2 * both + 1) / (found.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    return cross_entropy(logits, wanted) + 1 - dice.mean()


def _batches(grids: list[tuple[Tensor, ...]], recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    for some in torch.randperm(len(grids)).split(recipe.batch):
        if len(some) == recipe.batch:
            pairs = [augmented(*grids[i], flipped=recipe.flipped, turned=recipe.turned) for i in some.tolist()]
            inputs = np.stack([equalised(image[0].numpy())[None] for image, _ in pairs])
            yield (
                torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last),
                torch.cat([labels for _, labels in pairs]).long(),
            )
