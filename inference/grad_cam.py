"""Grad-CAM: where in a network's last convolutional block a score came from.

References
----------
Selvaraju et al., IJCV 2020;128:336, https://arxiv.org/abs/1610.02391.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def grad_cam(block: Tensor, scores: Tensor) -> Tensor:
    """Weigh the channels of a block by the mean gradient of a score.

    Parameters
    ----------
    block : Tensor, shape (n, channels, ...)
        That requires gradients; nothing before it needs any.
    scores : Tensor, shape (n,)
        Computed from it, one for each of the n.

    Returns
    -------
    Tensor, shape (n, ...)
        Without the channels, 0 or more; 0 everywhere where nothing of the block speaks for the score.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), block)
    weights = gradient.flatten(2).mean(dim=2).reshape(*block.shape[:2], *(1 for _ in block.shape[2:]))
    return (weights * block).sum(dim=1).relu().detach()


def normalised(attention: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Scale what Grad-CAM says so that its highest value is 1; None where nothing of it is above 0."""
    highest = attention.max()
    return attention / highest if highest > 0 else None
