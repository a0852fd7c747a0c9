"""A model folder of full width: planned by nnU-Net's own planner for images of one size, its network untrained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.nnunet_plans import checkpoint

_DATASET = "Dataset900_Whole"
_CASES = 20
"""Of which the planner hears; it never sees them."""


def whole_folder(folder: Path, side: int) -> Path:
    """Plan for images of `side` x `side`, and write what a training would leave, with random values."""
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner as planning
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    dataset = _write_dataset(folder / "raw" / _DATASET, side)
    _write_fingerprint(folder / "preprocessed" / _DATASET, side)
    with pytest.MonkeyPatch.context() as patch:  # nnU-Net has both from the environment
        patch.setattr(planning, "nnUNet_raw", str(folder / "raw"))
        patch.setattr(planning, "nnUNet_preprocessed", str(folder / "preprocessed"))
        plans = planning.ExperimentPlanner(_DATASET).plan_experiment()
    manager = PlansManager(plans)
    torch.manual_seed(side)
    network = nnUNetTrainer.build_network_architecture(
        manager, manager.get_configuration("2d"), 1, 2, enable_deep_supervision=False
    )
    model = folder / "model"
    (model / "fold_0").mkdir(parents=True)
    for name, said in (("plans.json", plans), ("dataset.json", dataset)):
        (model / name).write_text(json.dumps(said))
    torch.save(checkpoint(network.state_dict()), model / "fold_0" / "checkpoint_final.pth")
    return model


def _write_dataset(raw: Path, side: int) -> dict:
    for part, name in (("imagesTr", "a_0000.png"), ("labelsTr", "a.png")):
        (raw / part).mkdir(parents=True)
        Image.fromarray(np.zeros((side, side), dtype=np.uint8)).save(raw / part / name)
    said = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0, "opacity": 1},
        "numTraining": _CASES,
        "file_ending": ".png",
    }
    (raw / "dataset.json").write_text(json.dumps(said))
    return said


def _write_fingerprint(preprocessed: Path, side: int) -> None:
    preprocessed.mkdir(parents=True)
    greys = {"max": 255.0, "min": 0.0, "mean": 120.0, "median": 118.0, "std": 60.0}
    said = {
        "spacings": [[999.0, 1.0, 1.0]] * _CASES,
        "shapes_after_crop": [[1, side, side]] * _CASES,
        "foreground_intensity_properties_per_channel": {
            "0": {**greys, "percentile_00_5": 5.0, "percentile_99_5": 250.0}
        },
        "median_relative_size_after_cropping": 1.0,
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(said))
