"""Verified weights -> a network. There is no other way to a network outside tests.

Every name and shape is compared before a value is copied, so that a network with a random layer cannot come about.
torch is imported when something is loaded, which is in a worker.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.weights.manifest import Form
from inference.weights.pickles import state_of_model
from inference.weights.refusals import WrongWeightsError
from inference.weights.shelf import Verified

if TYPE_CHECKING:
    from torch import Tensor, nn

    Network = TypeVar("Network", bound=nn.Module)

_NAMED_AT_MOST = 3
_NOT_IN_OLD_CHECKPOINTS = ".num_batches_tracked"


def load_network(
    weights: Verified, build: "Callable[[], Network]", *, ignore: Callable[[str], bool] = lambda _: False
) -> "Network":
    """Make a network and give it verified weights.

    Parameters
    ----------
    weights : Verified
        From `inference.weights.Shelf`.
    build : callable
        Makes the network that `weights.slot.network` names, with any values.
    ignore : callable
        Says of a key of the weights whether the network has no use for it, such as a head that was removed.

    Returns
    -------
    torch.nn.Module
        On the CPU, for inference, without gradients; every value of it came from the weights.

    Raises
    ------
    WrongWeightsError
        If the file cannot be read as tensors, or does not fit the network; names the keys.
    """
    state = {key: value for key, value in read_state(weights).items() if not ignore(key)}
    network = build()
    fit(network, state, weights)
    return network


def fit(network: "nn.Module", state: "Mapping[str, Tensor]", weights: Verified) -> None:
    """Give a network all its values; raises `WrongWeightsError` where a name or shape departs."""
    wanted = network.state_dict()
    if problems := _misfits(wanted, state):
        raise WrongWeightsError(
            weights.slot, f"{weights.path.name} does not fit {weights.slot.network}: {'; '.join(problems)}"
        )
    network.load_state_dict(dict(state), strict=False)
    network.eval()
    network.requires_grad_(requires_grad=False)


def read_state(weights: Verified) -> "dict[str, Tensor]":
    """Read a state dict: tensors by name, nothing that runs.

    Raises
    ------
    WrongWeightsError
        If the file holds anything but finite tensors, or not as many outputs as are named.
    """
    import torch

    slot = weights.slot
    found: Any = read_file(weights, weights.path)
    if slot.entry:
        if not isinstance(found, Mapping) or slot.entry not in found:
            raise WrongWeightsError(slot, f"{weights.path.name} has no entry {slot.entry!r}")
        found = found[slot.entry]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise WrongWeightsError(slot, f"{weights.path.name} is not a state dict: it holds more than tensors")
    state = {str(key).removeprefix(slot.prefix): value for key, value in found.items()}
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WrongWeightsError(slot, f"{key} is not finite")
    _check_outputs(weights, state)
    return state


def check(weights: Verified) -> None:
    """Read weights and throw them away; raises `WrongWeightsError` where they cannot be read as what they are."""
    if weights.slot.form is Form.ARRAYS:
        load_arrays(weights)
    elif weights.slot.form is Form.NNUNET_FOLDER:
        from inference.weights.nnunet import read_model

        read_model(weights)
    else:
        read_state(weights)


def said_outputs(path: Path) -> tuple[str, ...]:
    """Return the outputs that a ``.safetensors`` names in its metadata; none of a file that cannot be read as one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            said = (file.metadata() or {}).get("outputs", "")
    except (SafetensorError, OSError):
        return ()
    return tuple(name.strip() for name in said.split(",") if name.strip())


def load_arrays(weights: Verified) -> dict[str, NDArray[Any]]:
    """Read an ``.npz``: arrays by name, none of them pickled.

    Raises
    ------
    WrongWeightsError
        If it holds anything else.
    """
    try:
        with np.load(weights.path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise WrongWeightsError(weights.slot, f"{weights.path.name} is no file of plain arrays: {error}") from error


def read_file(weights: Verified, path: Path, *, known: Sequence[Any] = ()) -> object:
    """Read a file of torch or safetensors: tensors, containers, texts and numbers, nothing that runs.

    Parameters
    ----------
    weights : Verified
        What the file belongs to.
    path : Path
        The file.
    known : sequence
        Classes that it may name beside torch's own.

    Raises
    ------
    WrongWeightsError
        If it is broken, or holds anything else.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if weights.slot.form is Form.PICKLED_MODEL:
            return state_of_model(path)
        with torch.serialization.safe_globals(list(known)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else "it is broken"
        raise WrongWeightsError(
            weights.slot, f"{path.name} is not read, as it holds more than weights: {said}"
        ) from error
    # torch and pickle raise whatever a broken file leads them to.
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        raise WrongWeightsError(
            weights.slot, f"{path.name} cannot be read as weights ({type(error).__name__})"
        ) from error


def _check_outputs(weights: Verified, state: "Mapping[str, Tensor]") -> None:
    key = weights.slot.output_key
    if key is None or not weights.outputs:
        return
    if key not in state:
        raise WrongWeightsError(weights.slot, f"it has no {key}, which says how many outputs there are")
    if len(state[key]) != len(weights.outputs):
        raise WrongWeightsError(
            weights.slot,
            f"{key} is for {len(state[key])} outputs, and {len(weights.outputs)} are named: "
            + _some(list(weights.outputs)),
        )


def _misfits(wanted: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]") -> list[str]:
    missing = [key for key in wanted if key not in found and not key.endswith(_NOT_IN_OLD_CHECKPOINTS)]
    unexpected = [key for key in found if key not in wanted]
    shapes = [
        f"{key} is {_shape(found[key])} where {_shape(wanted[key])} is needed"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    said = (("missing ", missing), ("unexpected ", unexpected), ("", shapes))
    return [title + _some(names) for title, names in said if names]


def _shape(tensor: "Tensor") -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
