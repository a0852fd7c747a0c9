"""Model folders as nnU-Net writes them, of full size and with random values; see `node.bench.stand_ins`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

PATCHES: Mapping[str, int] = {
    "opacity-ensemble-nnunet-336": 384,
    "opacity-ensemble-nnunet-768": 768,
    "opacity-ensemble-nnunet-refine": 384,
}
"""Rows and columns. Those of images of 336 and 768 are what nnU-Net 2.8 plans for such; of crops they are a guess."""
_FEATURES = (32, 64, 128, 256, 512, 512, 512, 512)
_LAST_SIDE = 4
_RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
_LABELS = {"background": 0, "opacity": 1}
_DATASET = {"channel_names": {"0": "X-ray"}, "labels": _LABELS, "file_ending": ".png"}


def network(side: int) -> "nn.Module":
    """Return nnU-Net's network for patches of `side` rows and columns."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(_plans(side))
    made: nn.Module = nnUNetTrainer.build_network_architecture(
        plans, plans.get_configuration("2d"), 1, len(_LABELS), enable_deep_supervision=False
    )
    return made


def write(folder: Path, side: int) -> None:
    """Write a model folder of one fold that sees such patches, mirrored along both axes."""
    import torch

    (folder / "fold_0").mkdir(parents=True)
    for name, content in (("plans.json", _plans(side)), ("dataset.json", _DATASET)):
        (folder / name).write_text(json.dumps(content))
    checkpoint = {
        "network_weights": network(side).state_dict(),
        "init_args": {"configuration": "2d", "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")


def _plans(side: int) -> dict[str, Any]:
    return {
        "dataset_name": "Dataset900_bench",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "NaturalImage2DIO",
        "configurations": {
            "2d": {
                "data_identifier": "nnUNetPlans_2d",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 12,
                "patch_size": [side, side],
                "median_image_size_in_voxels": [float(side), float(side)],
                "spacing": [1.0, 1.0],
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                **{f"resampling_fn_{of}": "resample_data_or_seg_to_shape" for of in ("data", "seg", "probabilities")},
                **{f"resampling_fn_{of}_kwargs": _RESAMPLING for of in ("data", "seg", "probabilities")},
                "architecture": _architecture(side),
                "batch_dice": True,
            }
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
    }


def _architecture(side: int) -> dict[str, Any]:
    stages = next(n for n in range(1, len(_FEATURES) + 1) if side >> n < _LAST_SIDE or n == len(_FEATURES))
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(_FEATURES[:stages]),
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * stages,
            "strides": [[1, 1], *[[2, 2]] * (stages - 1)],
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
