"""Examples -> batches, the same for the same seed and epoch, however many processes read them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from training.loop.plan import Plan
from training.loop.task import Task

Place = tuple[int, int]
"""Epoch, and number of the example."""
_UNVARIED = -1


class _Shuffled(Sampler[Place]):
    """All examples in an order of each epoch's own; lightning says which epoch it is."""

    def __init__(self, numbers: Sequence[int], seed: int) -> None:
        self._numbers = numbers
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Place]:
        random = torch.Generator().manual_seed(mixed(self._seed, self._epoch))
        for place in torch.randperm(len(self._numbers), generator=random).tolist():
            yield self._epoch, self._numbers[place]


class _InOrder(Sampler[Place]):
    """All examples, once, as they are."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Place]:
        return iter([(_UNVARIED, number) for number in self._numbers])


class _Samples(Dataset[Any]):
    def __init__(self, task: Task[Any], seed: int) -> None:
        self._task = task
        self._seed = seed

    def __getitem__(self, place: Place) -> Any:  # noqa: ANN401 - what the task makes
        epoch, number = place
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed(self._seed, epoch, number))
            return self._task.sample(number, varied=epoch != _UNVARIED)


def loader(task: Task[Any], numbers: Sequence[int], plan: Plan, *, varied: bool) -> DataLoader[Any]:
    """Return batches of examples: shuffled and changed at random, the last few of an epoch left out; or as they are."""
    return DataLoader(
        _Samples(task, plan.seed),
        batch_size=plan.batch,
        sampler=_Shuffled(numbers, plan.seed) if varied else _InOrder(numbers),
        collate_fn=task.collate,
        drop_last=varied,
        num_workers=plan.workers,
        persistent_workers=plan.workers > 0,
        pin_memory=plan.device != "cpu",
    )


def mixed(*numbers: int) -> int:
    """Make a seed of several numbers, so that no two of their sequences are shifted against each other."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return seed
