"""A model folder as nnU-Net writes it, of a network small enough for a test; its values are no training's."""

import json

import numpy as np

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3], [3, 3]],
        "strides": [[1, 1], [2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
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
RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


def plans():
    return {
        "dataset_name": "Dataset900_toy",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "NaturalImage2DIO",
        "configurations": {
            "2d": {
                "data_identifier": "nnUNetPlans_2d",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": [32, 32],
                "median_image_size_in_voxels": [32.0, 32.0],
                "spacing": [1.0, 1.0],
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                **{
                    f"resampling_fn_{what}": "resample_data_or_seg_to_shape"
                    for what in ("data", "seg", "probabilities")
                },
                **{f"resampling_fn_{what}_kwargs": RESAMPLING for what in ("data", "seg", "probabilities")},
                "architecture": json.loads(json.dumps(ARCHITECTURE)),
                "batch_dice": True,
            }
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
    }


def network(channels=1):
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from torch import nn

    kwargs = dict(ARCHITECTURE["arch_kwargs"])
    kwargs |= {"conv_op": nn.Conv2d, "norm_op": nn.InstanceNorm2d, "nonlin": nn.LeakyReLU}
    return PlainConvUNet(input_channels=channels, num_classes=2, deep_supervision=False, **kwargs)


def checkpoint(state):
    return {
        "network_weights": state,
        "init_args": {"configuration": "2d", "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
        "_best_ema": np.float64(0.5),  # what a training adds, and torch does not read without being told
        "current_epoch": 4,
    }
