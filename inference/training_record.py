"""What the recipe of shipped weights wrote down beside them, as a card says it: its numbers are read, never copied.

``training/`` writes ``inference/shipped/NAME.json`` together with ``NAME.safetensors``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.card import Quality, TrainingData
from inference.weights.manifest import SHIPPED


def training_data(name: str, folder: Path = SHIPPED) -> tuple[TrainingData, ...]:
    """Return the images that shipped weights learnt from, by origin; nothing where there is no record."""
    record = _read(name, folder)
    patient_of = {image["id"]: image["patient"] for image in record.get("by_image", ())}
    return tuple(
        TrainingData(
            name="frontal chest X-rays",
            images=len(origin["images"]),
            patients=len({patient_of[image] for image in origin["images"]}),
            licence=origin["licence"],
            source=origin["origin"],
            attribution=origin.get("attribution")
            or f"{origin['origin']}, {origin['licence']}; scaled down, with lung masks",
        )
        for origin in record.get("trained_on", ())
    )


def cross_validation(name: str, folder: Path = SHIPPED) -> tuple[Quality, ...]:
    """Return the Dice of shipped weights' recipe on patients that it had not seen; nothing where there is no record."""
    record = _read(name, folder)
    if not record:
        return ()
    source = f"inference/shipped/{name}.json"
    whole = record["unseen_patients"]
    images = f"{whole['images']} images of {whole['patients']} patients"
    folds = len(record["folds"])
    held_out = f"{images}, each by the one of {folds} networks that had seen nothing of its patient"
    numbers = [
        Quality(measure=f"Dice, {side}", value=_number(whole[key]), on=held_out, source=source)
        for key, side in (("mean", "mean of both lungs"), ("right", "right lung"), ("left", "left lung"))
    ]
    numbers += [
        Quality(
            measure=f"Dice, fold {index} of {folds}",
            value=_number(fold["mean"]),
            on=f"{fold['images']} images of {fold['patients']} patients not seen",
            source=source,
        )
        for index, fold in enumerate(record["folds"], start=1)
    ]
    numbers += [
        Quality(measure=f"Dice, {group}", value=_number(found["mean"]), on=f"{found['images']} of these", source=source)
        for key in ("by_view", "by_finding")
        for group, found in whole[key].items()
    ]
    worst = Quality(measure="Dice, worst image", value=_number(whole["worst_image"]["mean"]), on=images, source=source)
    return (*numbers, worst)


def _read(name: str, folder: Path) -> Mapping[str, Any]:
    try:
        record: Mapping[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # the weights are then missing too, which every run says
        return {}
    return record


def _number(value: float) -> str:
    return f"{value:.3f}"
