"""Weights of `lung-fields`: cross-validated by patient, then trained on all.

``opacity-node train lung-fields --data DIR --out DIR`` writes ``lung-fields.safetensors`` and, beside it,
``lung-fields.json``: the recipe, every number, and whose images they were. The folds' networks stay in ``DIR/folds``;
called again, it judges them anew and trains only what a recipe of the same words has not made before.
"""

import hashlib
import json
import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from inference.networks.lung_fields import OUTPUTS, SIDE, LungFieldsNet
from training.lung_fields.chest_images import ChestImage, folds, read
from training.lung_fields.fitting import Recipe
from training.lung_fields.judging import judge, judge_no_chests, judge_spoilt, refusals, summary, withstood
from training.lung_fields.trained import NETWORK, Trained, trained

NAME = "lung-fields"


def make(data: Path, out: Path, recipe: Recipe, *, ct: Path | None = None, processes: int = 1) -> dict[str, Any]:
    """Cross-validate, train on all, write both files.

    Parameters
    ----------
    data, out : Path
        Folders of the images, and of the files to write.
    recipe : Recipe
        How to train.
    ct : Path, optional
        Folder of a chest CT.
    processes : int
        That train at a time.

    Returns
    -------
    dict
        What ``lung-fields.json`` says.
    """
    (out / "folds").mkdir(parents=True, exist_ok=True)
    with _pool(processes) as pool:
        parts = [pool.submit(_fold, data, out, recipe, fold) for fold in range(recipe.folds)]
        whole = pool.submit(_whole, data, out, recipe, ct)
        by_fold = [part.result() for part in parts]
        cpu_seconds, no_chests = whole.result()
    judged = [image for fold in by_fold for image in fold["images"]]
    weights = out / f"{NAME}.safetensors"
    record = {
        "network": NETWORK,
        "outputs": OUTPUTS,
        "input": f"1 × {SIDE} × {SIDE}",
        "parameters": sum(value.numel() for value in LungFieldsNet().parameters()),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "recipe": asdict(recipe),
        "torch": torch.__version__,
        "cpu_minutes": round((cpu_seconds + sum(fold["cpu_seconds"] for fold in by_fold)) / 60, 1),
        "unseen_patients": summary(judged),
        "folds": [summary(fold["images"]) for fold in by_fold],
        "withstood": withstood(judged),
        "frontal_check": refusals(judged, [*no_chests, *(one for fold in by_fold for one in fold["spoilt"])]),
        "by_image": [{name: value for name, value in image.items() if name != "hardships"} for image in judged],
        "trained_on": _attribution(read(data)),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (out / f"{NAME}.json").write_text(f"{text}\n", encoding="utf-8")
    said: dict[str, Any] = json.loads(text)
    return said


def _pool(processes: int) -> Executor:
    """Return what trains so many at a time; one alone needs no process of its own."""
    if processes == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))


def _fold(data: Path, out: Path, recipe: Recipe, fold: int) -> dict[str, Any]:
    """Train on all folds but one, and judge by that one."""
    dealt = folds(read(data), count=recipe.folds, seed=recipe.seed)
    seen = [image for other, images in enumerate(dealt) if other != fold for image in images]
    made: Trained = trained(out / "folds" / f"{fold}.safetensors", seen, recipe, seed=recipe.seed + 1 + fold)
    return {
        "cpu_seconds": made.cpu_seconds,
        "images": [judge(made.network, image) for image in dealt[fold]],
        "spoilt": [one for image in dealt[fold] for one in judge_spoilt(made.network, image)],
    }


def _whole(data: Path, out: Path, recipe: Recipe, ct: Path | None) -> tuple[float, list[dict[str, Any]]]:
    made = trained(out / f"{NAME}.safetensors", read(data), recipe, seed=recipe.seed)
    return made.cpu_seconds, judge_no_chests(made.network, seed=recipe.seed, ct=ct)


def _attribution(images: list[ChestImage]) -> list[dict[str, Any]]:
    """Name the images of each origin, with its licence."""
    origins = sorted({(image.about["origin"], image.about["licence"]) for image in images})
    return [
        {
            "origin": origin,
            "licence": licence,
            "images": [i.id for i in images if (i.about["origin"], i.about["licence"]) == (origin, licence)],
        }
        for origin, licence in origins
    ]
