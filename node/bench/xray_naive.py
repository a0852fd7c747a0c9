"""The networks of `opacity-ensemble`, called for one image after the other as their libraries' documentation shows."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torchxrayvision as xrv
from nnunetv2.inference import predict_from_raw_data
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from skimage.exposure import equalize_hist

from inference.networks.convnext_fpn import SIDE, ConvNeXtFPN
from inference.networks.xrv import Lungs, square
from inference.opacity_ensemble.ensemble import CONVNEXT, NNUNET_336, NNUNET_768, REFINE
from inference.resized import resized
from inference.weights import Verified
from inference.weights.loading import load_network

Floats = NDArray[np.float32]

_SIDES = {NNUNET_336: 336, NNUNET_768: 768}
_FOLDERS = {
    NNUNET_336: "opacity-ensemble-nnunet-336",
    NNUNET_768: "opacity-ensemble-nnunet-768",
    REFINE: "opacity-ensemble-nnunet-refine",
}


class Naive:
    """What `inference.opacity_ensemble.experts.Networks` does, called in its place.

    Parameters
    ----------
    weights : Mapping[str, Verified]
        By slot, all of one folder.
    device : str
        Torch device.
    """

    parameters: Mapping[str, str] = {"device": "", "precision": "float32"}
    warnings: tuple[str, ...] = ()

    def __init__(self, weights: Mapping[str, Verified], device: str) -> None:
        folder = weights["xrv-pspnet"].path.parent
        self._device = torch.device(device)
        self._densenet = xrv.models.DenseNet(weights="densenet121-res224-all", cache_dir=str(folder)).to(device)
        self._pspnet = xrv.baseline_models.chestx_det.PSPNet(cache_dir=str(folder)).to(device)
        self._convnext = load_network(weights["opacity-ensemble-convnext"], ConvNeXtFPN).to(device)
        self._predictors = {name: self._predictor(weights[slot].path) for name, slot in _FOLDERS.items()}
        # The one that it comes with; ours is in its place.
        unkept = predict_from_raw_data.compute_gaussian.__wrapped__
        vars(predict_from_raw_data)["compute_gaussian"] = lru_cache(2)(unkept)

    def classify(self, images: Sequence[Floats], /) -> list[dict[str, float]]:
        """Return the scores of DenseNet-121 by finding."""
        names = self._densenet.pathologies
        return [dict(zip(names, self._seen(self._densenet, image, 224)[0].tolist(), strict=True)) for image in images]

    def segment(self, name: str, images: Sequence[Floats], /) -> list[Floats]:
        """Return what one of the segmenters says."""
        if name == CONVNEXT:
            return [self._of_convnext(image) for image in images]
        side = _SIDES[name]
        return [resized(self._of_nnunet(name, resized(image, (side, side))), image.shape) for image in images]

    def refine(self, crops: Sequence[Floats], /) -> list[Floats]:
        """Return what the refinement says of crops."""
        return [self._of_nnunet(REFINE, crop) for crop in crops]

    def lungs(self, images: Sequence[Floats]) -> list[Lungs]:
        """Return right and left lung of each image."""
        return [self._lungs(image) for image in images]

    def _predictor(self, folder: Path) -> nnUNetPredictor:
        with contextlib.redirect_stdout(None):  # it prints that a CPU is no GPU
            predictor = nnUNetPredictor(device=self._device, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), use_folds=(0,))
        return predictor

    def _seen(self, network: torch.nn.Module, image: Floats, side: int) -> torch.Tensor:
        prepared = xrv.datasets.normalize(np.rint(image * 255), 255)[None]
        prepared = xrv.datasets.XRayResizer(side)(xrv.datasets.XRayCenterCrop()(prepared))
        with torch.no_grad():
            said: torch.Tensor = network(torch.from_numpy(prepared)[None].to(self._device))
        return said.cpu()

    def _of_convnext(self, image: Floats) -> Floats:
        prepared = resized(equalize_hist(image).astype(np.float32), (SIDE, SIDE)) * 2 - 1
        with torch.no_grad():
            said = self._convnext(torch.from_numpy(prepared)[None, None].to(self._device)).sigmoid()
        return resized(said[0, 0].cpu().numpy(), image.shape)

    def _of_nnunet(self, name: str, image: Floats) -> Floats:
        picture = np.rint(255 * image.clip(0, 1)).astype(np.float32)[None, None]
        _, found = self._predictors[name].predict_single_npy_array(picture, {"spacing": (999, 1, 1)}, None, None, True)
        said: Floats = found[1, 0].astype(np.float32)
        return said

    def _lungs(self, image: Floats) -> Lungs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own about its `upsample`
            said = self._seen(self._pspnet, image, 512)[0].sigmoid().numpy()
        known, side = square(image.shape), min(image.shape)
        which = [self._pspnet.targets.index(name) for name in ("Right Lung", "Left Lung")]
        probabilities = np.zeros((2, *image.shape), dtype=np.float32)
        probabilities[:, *known] = resized(said[which], (side, side))
        return Lungs(probabilities=probabilities, known=known)
