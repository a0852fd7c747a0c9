"""An nnU-Net model folder -> a predictor, without running anything that the folder holds.

nnU-Net reads checkpoints with pickle, and its plans name classes that it imports. Here checkpoints are read as tensors
and numbers alone, and the plans may only name networks and layers.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy._core import multiarray

from inference.weights.loading import fit, read_file
from inference.weights.refusals import WrongWeightsError
from inference.weights.shelf import Verified

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from torch import Tensor

_CHECKPOINT = "checkpoint_final.pth"
_NETWORK = re.compile(r"dynamic_network_architectures\.architectures\.\w+\.\w+")
_LAYER = re.compile(r"torch\.nn\.(modules\.\w+\.)?[A-Z]\w*")
_TRAINER = re.compile(r"nnUNetTrainer\w*")
_NUMBERS = (np.float64, np.float32, np.int64, np.int32, np.bool_)


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What a model folder says.

    Attributes
    ----------
    plans, dataset : Mapping
        ``plans.json`` and ``dataset.json``.
    configuration, trainer : str
        Which of the plans; the class that builds the network.
    mirroring_axes : tuple of int or None
        Along which predictions may be averaged.
    folds : sequence of state dicts
        One network each.
    """

    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    configuration: str
    trainer: str
    mirroring_axes: tuple[int, ...] | None
    folds: "Sequence[Mapping[str, Tensor]]"


def load_predictor(
    weights: Verified, device: str, *, mirroring: bool = True, kind: "type[nnUNetPredictor] | None" = None
) -> "nnUNetPredictor":
    """Make nnU-Net's predictor of a verified model folder.

    Parameters
    ----------
    weights : Verified
        Of the form `nnunet-folder`.
    device : str
        Torch device.
    mirroring : bool
        Whether predictions are averaged over mirrored images, as the model allows.
    kind : type, optional
        Of predictor, if not nnU-Net's own.

    Raises
    ------
    WrongWeightsError
        If the folder is incomplete, holds more than weights, or its folds do not fit its plans.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    model = read_model(weights)
    dataset, plans = dict(model.dataset), PlansManager(dict(model.plans))
    configuration = plans.get_configuration(model.configuration)
    network = recursive_find_trainer_class_by_name(model.trainer).build_network_architecture(
        plans,
        configuration,
        determine_num_input_channels(plans, configuration, dataset),
        plans.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    for fold in reversed(model.folds):  # ends with the first, as nnU-Net begins with it
        fit(network, fold, weights)
    with contextlib.redirect_stdout(None):  # it prints that a CPU is no GPU
        predictor = (kind or nnUNetPredictor)(
            device=torch.device(device),
            perform_everything_on_device=device != "cpu",
            use_mirroring=mirroring,
            allow_tqdm=False,
        )
    predictor.manual_initialization(
        network, plans, configuration, list(model.folds), dataset, model.trainer, model.mirroring_axes
    )
    return predictor


def read_model(weights: Verified) -> Model:
    """Read a model folder.

    Raises
    ------
    WrongWeightsError
        If it is incomplete, holds more than weights, or its plans name something that is no network.
    """
    plans, dataset = (_json(weights, name) for name in ("plans.json", "dataset.json"))
    checkpoints = [_checkpoint(weights, path) for path in sorted(weights.path.glob(f"fold_*/{_CHECKPOINT}"))]
    if not checkpoints:
        raise WrongWeightsError(weights.slot, f"it has no fold_*/{_CHECKPOINT}")
    first = checkpoints[0]
    try:
        model = Model(
            plans=plans,
            dataset=dataset,
            configuration=str(first["init_args"]["configuration"]),
            trainer=str(first["trainer_name"]),
            mirroring_axes=first.get("inference_allowed_mirroring_axes"),
            folds=[checkpoint["network_weights"] for checkpoint in checkpoints],
        )
    except (KeyError, TypeError) as error:
        raise WrongWeightsError(weights.slot, f"fold_*/{_CHECKPOINT} lacks {error}") from error
    _check_names(weights, model)
    _check_labels(weights, model)
    return model


def _check_names(weights: Verified, model: Model) -> None:
    """Let plans name networks and layers alone: nnU-Net imports whatever they name."""
    try:
        named = [(model.trainer, _TRAINER), *_named(model.plans)]
    except (KeyError, AttributeError, TypeError) as error:
        raise WrongWeightsError(weights.slot, f"its plans are incomplete: {error}") from error
    for name, pattern in named:
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise WrongWeightsError(
                weights.slot, f"its plans name {name!r}, which is no network, layer or trainer of nnU-Net"
            )


def _named(plans: Mapping[str, Any]) -> Iterator[tuple[Any, re.Pattern[str]]]:
    """Yield what nnU-Net would import, and what it must look like."""
    for configuration in plans["configurations"].values():
        if architecture := configuration.get("architecture"):
            yield architecture["network_class_name"], _NETWORK
            for key in architecture["_kw_requires_import"]:
                if (layer := architecture["arch_kwargs"].get(key)) is not None:
                    yield layer, _LAYER


def _check_labels(weights: Verified, model: Model) -> None:
    labels = model.dataset.get("labels", {})
    if weights.outputs and len(labels) != len(weights.outputs):
        raise WrongWeightsError(
            weights.slot,
            f"its dataset.json has the labels {', '.join(labels)}; these are needed: {', '.join(weights.outputs)}",
        )


def _json(weights: Verified, name: str) -> dict[str, Any]:
    try:
        found = json.loads((weights.path / name).read_bytes())
    except (OSError, ValueError) as error:
        raise WrongWeightsError(weights.slot, f"its {name} cannot be read") from error
    if not isinstance(found, dict):
        raise WrongWeightsError(weights.slot, f"its {name} is not what nnU-Net writes")
    return found


def _checkpoint(weights: Verified, path: Path) -> dict[str, Any]:
    found = read_file(weights, path, known=_known())
    if not isinstance(found, dict):
        raise WrongWeightsError(weights.slot, f"{path.name} is not what nnU-Net writes")
    return found


def _known() -> list[Any]:
    """Return what nnU-Net's checkpoints name beside tensors: numpy's numbers, also of numpy 1."""
    scalar = multiarray.scalar
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *(type(np.dtype(kind)) for kind in _NUMBERS)]
