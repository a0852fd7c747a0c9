"""Model folders that nnU-Net made itself: planned, preprocessed and trained on phantoms by its own classes.

Narrow and brief, so that they cost seconds. `python -m tests.nnunet_folders OUT COURSES` makes them in a process of its
own, for nnU-Net takes its settings from the environment when it is imported.
"""

import fcntl
import hashlib
import importlib.metadata
import json
import multiprocessing.dummy
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from inference import resized
from inference.opacity_ensemble import crops
from training.opacity_ensemble import nnunet_raw

_TOOK = "seconds"
_AUGMENTING, _PREPROCESSED = "nnUNet_n_proc_DA", "nnUNet_preprocessed"
_THREADS = SimpleNamespace(get_context=lambda _: multiprocessing.dummy)


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long nnU-Net trains, and how wide its network is.

    Attributes
    ----------
    epochs, iterations : int
        Steps are the product of both.
    batch : int
        Images a step.
    learning_rate : float
        Of AdamW.
    pitch : float
        Of the network's pixels, in those of its images: it sees a coarse copy, as nnU-Net's target spacing says.
    features, most_features : int
        Channels of the first stage, and of the widest.
    """

    epochs: int
    iterations: int
    pitch: float
    batch: int = 4
    learning_rate: float = 4e-3
    features: int = 8
    most_features: int = 64


@dataclass(frozen=True, kw_only=True)
class Made:
    """Model folders by data set, and how long it took to make them, when they were made."""

    folders: Mapping[str, Path]
    seconds: int


def cached(cache: Path, courses: Mapping[str, Course], made_of: str, write_raw: Callable[[Path], object]) -> Made:
    """Return a model folder for each data set; they are made once for all runs, and processes that want the same wait.

    Parameters
    ----------
    cache : Path
        Folder that stays.
    courses : Mapping[str, Course]
        By the data set's name, such as ``Dataset336_Opacity336``.
    made_of : str
        What changes with the images.
    write_raw : callable
        Writes the data sets into a folder.
    """
    folder = cache / _key(courses, made_of)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            began = time.monotonic()
            work = cache / f"{folder.name}-work"
            shutil.rmtree(work, ignore_errors=True)
            write_raw(work / "raw")
            _make(work, courses)
            (work / "out" / _TOOK).write_text(f"{time.monotonic() - began:.0f}")
            (work / "out").rename(folder)
            shutil.rmtree(work)
    return Made(folders={dataset: folder / dataset for dataset in courses}, seconds=int((folder / _TOOK).read_text()))


def _key(courses: Mapping[str, Course], made_of: str) -> str:
    """Return what changes with nnU-Net, with the courses, and with the code of data sets."""
    said = json.dumps([importlib.metadata.version("nnunetv2"), *map(asdict, courses.values()), list(courses), made_of])
    digest = hashlib.sha256(said.encode())
    for source in (nnunet_raw.__file__, crops.__file__, resized.__file__, __file__):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()[:16]


def _make(work: Path, courses: Mapping[str, Course], *, timeout_s: float = 900) -> None:
    environment = {
        **os.environ,
        "nnUNet_raw": str(work / "raw"),
        _PREPROCESSED: str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        _AUGMENTING: "1",
        "nnUNet_def_n_proc": "1",
        "nnUNet_compile": "f",
        "OMP_NUM_THREADS": "1",
    }
    said = json.dumps({dataset: asdict(course) for dataset, course in courses.items()})
    command = [sys.executable, "-m", "tests.nnunet_folders", str(work / "out"), said]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise RuntimeError(f"nnU-Net made no model folder:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def main(out: Path, courses: Mapping[str, Course]) -> None:
    """Plan, preprocess, train, and keep what prediction needs."""
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.preprocessing.preprocessors import default_preprocessor

    # Each process of a pool would import torch for many seconds; threads have it.
    fingerprint_extractor.multiprocessing = default_preprocessor.multiprocessing = _THREADS
    out.mkdir()
    for dataset, course in courses.items():
        plans = _planned(dataset, course)
        shutil.move(_trained(dataset, plans, course), out / dataset)


def _planned(dataset: str, course: Course) -> dict:
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, preprocess

    os.environ[_AUGMENTING] = "1"
    number = int(dataset[len("Dataset") :].partition("_")[0])
    extract_fingerprints([number], num_processes=1, check_dataset_integrity=False)
    planner = ExperimentPlanner(number, overwrite_target_spacing=[999.0, course.pitch, course.pitch])
    planner.UNet_base_num_features, planner.UNet_max_features_2d = course.features, course.most_features
    planner.plan_experiment()
    path = _preprocessed(dataset) / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    plans["configurations"]["2d"]["batch_size"] = course.batch
    path.write_text(json.dumps(plans))
    preprocess([number], configurations=["2d"], num_processes=[1])
    return plans


def _trained(dataset: str, plans: dict, course: Course) -> Path:
    os.environ[_AUGMENTING] = "0"  # no process for augmentation; at planning it would mean 0 threads
    import torch
    from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam1en3

    # Images and augmentations are drawn by all three.
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that nnU-Net draws from
    random.seed(0)
    described = json.loads((_preprocessed(dataset) / "dataset.json").read_text())
    # nnU-Net's own default, plain descent, has marked nothing yet after as many steps as there are here.
    trainer = nnUNetTrainerAdam1en3(
        plans | {"continue_training": False}, "2d", 0, described, device=torch.device("cpu")
    )
    trainer.initial_lr = course.learning_rate
    trainer.num_epochs, trainer.num_iterations_per_epoch = course.epochs, course.iterations
    trainer.num_val_iterations_per_epoch = 1
    trainer.plot_network_architecture = trainer.logger.plot_progress_png = _plot_nothing
    trainer.run_training()
    return Path(trainer.output_folder_base)


def _plot_nothing(*_: object) -> None:
    """Draw no progress, which takes a third of the time."""


def _preprocessed(dataset: str) -> Path:
    return Path(os.environ[_PREPROCESSED]) / dataset


if __name__ == "__main__":
    main(Path(sys.argv[1]), {dataset: Course(**said) for dataset, said in json.loads(sys.argv[2]).items()})
