"""nnU-Nets on images that are in memory, through nnU-Net's own predictor: no file, no process, no environment.

What is done before and after the network is nnU-Net's, as the model folder says it: normalisation, patches,
mirroring, folds. Ours are the type that it computes with, how values lie in the memory of a CPU, and that a GPU gets
mirrored images in one batch.

References
----------
Isensee et al., Nat Methods 2021;18:203, https://doi.org/10.1038/s41592-020-01008-z.
"""

import contextlib
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import chain, combinations

import numpy as np
import torch
from nnunetv2.inference import predict_from_raw_data
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from inference import compute, cpu_memory
from inference.networks.answers import Answers, Floats, answers
from inference.resident import resident
from inference.resized import resized
from inference.weights import Verified
from inference.weights.nnunet import load_predictor

_SPACING = {"spacing": (999, 1, 1)}
"""What nnU-Net says of pictures without a spacing (NaturalImage2DIO)."""
_WHITE = 255.0
_ONE_BY_ONE = 1
_WEIGHINGS_KEPT = 8

# How patches are weighed depends on their size alone, and takes longer than a GPU takes for the image. nnU-Net keeps it
# for two sizes, which three networks in turn never find again.
predict_from_raw_data.compute_gaussian = lru_cache(_WEIGHINGS_KEPT)(predict_from_raw_data.compute_gaussian.__wrapped__)


def opacity(weights: Verified, images: Sequence[Floats], device: str, *, side: int | None = None) -> Answers[Floats]:
    """Return the probability of opacity.

    Parameters
    ----------
    weights : Verified
        A model folder with the labels background and opacity.
    images : sequence of ndarray of float32, shape (rows, columns)
        Upright, in [0, 1], bright is dense; of any size. The network sees them in 8 bit, as it saw those that it was
        trained on.
    device : str
        Torch device.
    side : int, optional
        Rows and columns to which images are brought first, whatever their proportions; by default they stay as they
        are.

    Returns
    -------
    Answers of ndarray of float32, shape (rows, columns)
        In [0, 1], on each image's own pixels.
    """
    return answers(
        lambda on: resident(("nnU-Net", weights.sha256, compute.dtype_on(on)), on, partial(NNUNet, weights, on)),
        [as_picture(image if side is None else resized(image, (side, side)))[np.newaxis] for image in images],
        lambda number, found: resized(found, images[number].shape),
        device=device,
        batch=_ONE_BY_ONE,
    )


def as_picture(image: Floats) -> Floats:
    """Return what nnU-Net reads from the image's PNG of 8 bits: whole numbers from 0 to 255, as float32."""
    picture: Floats = np.rint(np.float32(_WHITE) * image.clip(0.0, 1.0))
    return picture


class _Predictor(nnUNetPredictor):  # type: ignore[misc]  # nnunetv2 ships no types
    """nnU-Net's, but for how a patch goes through the network."""

    def predict_logits_from_preprocessed_data(self, data: Tensor) -> Tensor:
        """Return logits; of a single fold, whose values are in the network already, without putting them there anew."""
        if len(self.list_of_parameters) > 1:
            several: Tensor = super().predict_logits_from_preprocessed_data(data)
            return several
        with torch.inference_mode():
            logits: Tensor = self.predict_sliding_window_return_logits(data).to("cpu")
        return logits

    def _internal_maybe_mirror_and_predict(self, x: Tensor) -> Tensor:
        """Return the mean over a patch, shape (1, channels, rows, columns), and its mirror images."""
        axes = [axis + 2 for axis in self.allowed_mirroring_axes or ()] if self.use_mirroring else []
        mirrored = list(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
        dtype = compute.dtype_on(str(x.device))
        # nnU-Net itself computes in float16 on every GPU, and in float32 on every CPU.
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            seen = torch.cat([x.flip(turned) for turned in mirrored])
            # A GPU is faster with all at once; a CPU only needs more memory.
            said = torch.cat(
                [self.network(part) for part in seen.split(1 if x.device.type == compute.CPU else len(seen))]
            )
        back = [one[None].float().flip(turned) for one, turned in zip(said, mirrored, strict=True)]
        return torch.cat(back).mean(dim=0, keepdim=True)


class NNUNet(nn.Module):
    """A model folder as a network: (n, 1, rows, columns), from 0 to 255 -> probability of the last label.

    Parameters
    ----------
    weights : Verified
        Of the form `nnunet-folder`.
    device : str
        Torch device that it will be moved to.
    """

    def __init__(self, weights: Verified, device: str) -> None:
        super().__init__()
        self._predictor = load_predictor(weights, "cpu", kind=_Predictor)
        self._channels = len(self._predictor.dataset_json["channel_names"])
        self.network = compute.cast(self._predictor.network, compute.dtype_on(device))
        if torch.device(device).type == compute.CPU:
            _quicken(self.network)

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities, float32, shape (n, rows, columns)."""
        device = next(self.network.parameters()).device
        self._predictor.device = device
        self._predictor.perform_everything_on_device = device.type != compute.CPU
        with contextlib.nullcontext() if device.type != compute.CPU else cpu_memory.kept():
            return torch.stack([self._one(image) for image in images.cpu().numpy()])

    def _one(self, image: Floats) -> Tensor:
        if not image.any():  # nnU-Net cuts away what is 0 around an image, and finds nothing that is left
            return torch.zeros(image.shape[1:])
        channels = np.repeat(image[:, np.newaxis], self._channels, axis=0)
        _, found = self._predictor.predict_single_npy_array(channels, dict(_SPACING), None, None, True)
        return torch.from_numpy(np.ascontiguousarray(found[-1, 0], dtype=np.float32))


class _OfOneImage(nn.InstanceNorm2d):
    """Batch normalisation of a batch of one, which is the same, and knows channels last; instance normalisation copies.

    References
    ----------
    Ulyanov et al., 2016, arXiv:1607.08022, equations 6 and 7.
    """

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 1 or self.track_running_stats:
            return super().forward(images)
        return batch_norm(images, None, None, self.weight, self.bias, training=True, eps=self.eps)


def _quicken(network: nn.Module) -> None:
    """Have values lie as a CPU convolves them, channels last, so that none is rearranged between two layers."""
    network.to(memory_format=torch.channels_last)
    for layer in network.modules():
        if type(layer) is nn.InstanceNorm2d:
            layer.__class__ = _OfOneImage
