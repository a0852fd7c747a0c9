"""What a network says of several images of different sizes, and how it was computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.batches import Batches, joined_parameters

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from inference.batches import NetworkOn

Floats = NDArray[np.float32]
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers(Generic[Answer]):
    """What a network says.

    Attributes
    ----------
    each : tuple
        Of each image, in their order.
    parameters : Mapping[str, str]
        For `Algorithm.parameters`: where and how exactly it was computed.
    warnings : tuple of str
        For `Findings.warnings`.
    """

    each: tuple[Answer, ...]
    parameters: Mapping[str, str]
    warnings: tuple[str, ...] = ()


class NotedNetworks:
    """Networks of a pipeline, which remember how they were computed."""

    def __init__(self) -> None:
        self._parameters: list[Mapping[str, str]] = []
        self._warnings: dict[str, None] = {}

    @property
    def parameters(self) -> dict[str, str]:
        """Where and how exactly it was computed so far."""
        return joined_parameters(self._parameters)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of that."""
        return tuple(self._warnings)

    def _noted(self, answers: Answers[Answer]) -> Sequence[Answer]:
        self._parameters.append(answers.parameters)
        self._warnings |= dict.fromkeys(answers.warnings)
        return answers.each


def answers(
    network_on: "NetworkOn",
    inputs: Sequence[Floats],
    read: Callable[[int, Floats], Answer],
    *,
    device: str,
    batch: int,
    dtype: "torch.dtype | None" = None,
) -> Answers[Answer]:
    """Run a network over prepared images, and read each of its outputs.

    Parameters
    ----------
    network_on : callable
        As `inference.batches.Batches` takes it.
    inputs : sequence of ndarray of float32, shape (channels, rows, columns)
        Any sizes: those of one size that follow each other are computed together.
    read : callable
        The image's number, and what the network says of it -> the answer.
    device, batch, dtype
        As `inference.batches.Batches` takes them.
    """
    import torch

    run = Batches(network_on, device=device, batch=batch, dtype=dtype)
    said: list[Answer] = []
    for some in _alike(inputs):
        outputs: Tensor = run(torch.from_numpy(np.stack(some)))
        said += [read(len(said) + number, output.numpy()) for number, output in enumerate(outputs)]
    return Answers(each=tuple(said), parameters=run.parameters, warnings=run.warnings)


def _alike(inputs: Sequence[Floats]) -> list[list[Floats]]:
    groups: list[list[Floats]] = []
    for image in inputs:
        if groups and groups[-1][0].shape == image.shape:
            groups[-1].append(image)
        else:
            groups.append([image])
    return groups
