"""Networks that stay loaded between jobs, within a bound; those not used for longest go first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from inference import compute

if TYPE_CHECKING:
    from typing import TypeVar

    from torch import nn

    Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    network: "nn.Module"
    size_mb: float


_held: OrderedDict[tuple[Hashable, str], _Held] = OrderedDict()
"""By key and device, the one used last at the end."""


def resident(key: Hashable, device: str, make: "Callable[[], Network]") -> "Network":
    """Return a network on a device, made only if it is not there yet.

    Parameters
    ----------
    key : hashable
        What the network depends on: its name, the SHA-256 of its weights, and whatever else `make` looks at.
    device : str
        Torch device.
    make : callable
        Returns it on the CPU, with verified weights.

    Returns
    -------
    torch.nn.Module
        For inference, without gradients.
    """
    place = (key, device)
    held = _held.get(place)
    if held is None:
        compute.prepare(device)
        network = make().eval().requires_grad_(requires_grad=False)
        size_mb = _size_mb(network)
        _make_room(device, size_mb)
        held = _held[place] = _Held(network.to(device), size_mb)
    _held.move_to_end(place)
    return cast("Network", held.network)


def release_others(device: str) -> bool:
    """Let go of every network on a device but the one used last; say whether there were any."""
    places = [place for place in _held if place[1] == device]
    for place in places[:-1]:
        del _held[place]
    return len(places) > 1


def release_all() -> None:
    """Let go of every network."""
    _held.clear()


def held_mb(device: str) -> float:
    """Return the size of what stays loaded on a device."""
    return sum(held.size_mb for (_, on), held in _held.items() if on == device)


def _make_room(device: str, size_mb: float) -> None:
    for place in [place for place in _held if place[1] == device]:
        if held_mb(device) + size_mb <= compute.limits().models_mb:
            return
        del _held[place]


def _size_mb(network: "nn.Module") -> float:
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
