"""Weights of `lung-fields`: cross-validated by patient, then trained on all.

``python -m training.lung_fields --data DIR --out DIR`` writes ``lung-fields.safetensors`` and, beside it,
``lung-fields.json``: the recipe, every number, and whose images they were.
"""

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from inference.networks.lung_fields import OUTPUTS, SIDE, LungFieldsNet
from training.chest_images import ChestImage, folds, read
from training.fitting import Recipe, fit
from training.judging import judge, summary

NAME = "lung-fields"
NETWORK = "lung-fields U-Net, 3 classes"


def main(arguments: list[str]) -> int:
    """Train, write, and print the summary."""
    parser = argparse.ArgumentParser(prog="python -m training.lung_fields", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv, images/ and masks/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--processes", type=int, default=2, help="folds at a time, of one thread each")
    given = parser.parse_args(arguments)
    record = make(given.data, given.out, Recipe(epochs=given.epochs), processes=given.processes)
    print(json.dumps(record["unseen_patients"], indent=2))  # noqa: T201 - a command's answer
    return 0


def make(data: Path, out: Path, recipe: Recipe, *, processes: int) -> dict[str, Any]:
    """Cross-validate, train on all, write both files.

    Returns
    -------
    dict
        What ``lung-fields.json`` says.
    """
    began = time.monotonic()
    images = read(data)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        held_out = [pool.submit(_fold, data, recipe, fold) for fold in range(recipe.folds)]
        network = pool.submit(_state, data, recipe)
        by_fold = [result.result() for result in held_out]
        state = network.result()
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{NAME}.safetensors"
    save_file(
        state, weights, metadata={"network": NETWORK, "recipe": str(recipe.version), "outputs": ", ".join(OUTPUTS)}
    )
    record = {
        "network": NETWORK,
        "outputs": OUTPUTS,
        "input": f"1 × {SIDE} × {SIDE}",
        "parameters": sum(value.numel() for value in LungFieldsNet().parameters()),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "recipe": asdict(recipe),
        "torch": torch.__version__,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "unseen_patients": summary([one for fold in by_fold for one in fold]),
        "folds": [summary(fold) for fold in by_fold],
        "by_image": [one for fold in by_fold for one in fold],
        "trained_on": _attribution(images),
    }
    (out / f"{NAME}.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def _fold(data: Path, recipe: Recipe, fold: int) -> list[dict[str, Any]]:
    dealt = folds(read(data), count=recipe.folds, seed=recipe.seed)
    seen = [image for other, images in enumerate(dealt) if other != fold for image in images]
    network = fit(seen, recipe, seed=recipe.seed + 1 + fold)
    return [judge(network, image) for image in dealt[fold]]


def _state(data: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    network = fit(read(data), recipe, seed=recipe.seed)
    return {name: value.contiguous() for name, value in network.state_dict().items()}


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
