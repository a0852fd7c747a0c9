"""Weights of `ct-severity`: cross-validated by patient, then trained on all.

``opacity-node train ct-severity --data DIR --labels CSV --weights DIR --out DIR`` writes
``ct-severity-ltc.safetensors`` (or ``-i3d``) and, beside it, ``.json``: the recipe, what it was trained on, and every
number. Prepared CTs stay in ``DIR/prepared``, the folds' networks in ``DIR/folds``; called again, it goes on from them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.findings import Refusal
from inference.networks import i3d, ltc
from inference.severity.network import SeverityNetwork
from inference.weights import Shelf, Verified
from inference.wording import counted
from training.ct_severity.cases import Case, CaseError, read
from training.ct_severity.fitting import Network, Recipe, untrained
from training.ct_severity.judging import summary
from training.ct_severity.kinetics import kinetics_start
from training.ct_severity.runs import Runs
from training.ct_severity.volumes import Volumes
from training.errors import TrainingError

LUNG_MASK, KINETICS = "lungmask-r231", "i3d-kinetics"
SIZES = {Network.LTC: ltc.SIZE, Network.I3D: i3d.SIZE}


class RecipeError(TrainingError):
    """No network can be made as was asked for; says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What a training reads, and where it may write.

    Attributes
    ----------
    data, labels : Path
        Folder of DICOM series, and the table of what is known of them; see `training.ct_severity.cases.read`.
    weights : Path
        Weights folder with the lung mask, and with Kinetics weights where the training starts from those.
    out : Path
        Folder to write to.
    kinetics : bool
        Whether I3D starts from Kinetics weights.
    device : str
        Torch device.
    """

    data: Path
    labels: Path
    weights: Path
    out: Path
    kinetics: bool = False
    device: str = "cpu"


def make(sources: Sources, recipe: Recipe) -> dict[str, Any]:
    """Cross-validate, train on all, write both files.

    Returns
    -------
    dict
        What the ``.json`` says.

    Raises
    ------
    RecipeError
        If no such network can be.
    CaseError
        If the table, or a folder of it, is not what is needed, or too few CTs can be used.
    WeightsRefusedError
        If weights that are needed are not there.
    """
    network = _first(recipe)
    found = Shelf(sources.weights).require(LUNG_MASK, *((KINETICS,) if sources.kinetics else ()))
    start = _start(network, found[KINETICS]) if sources.kinetics else {}
    volumes = Volumes(sources.out / "prepared", size=recipe.size, lung_mask=found[LUNG_MASK], device=sources.device)
    cases, prepared, left_out = _usable(read(sources.data, sources.labels), volumes, recipe)
    runs = Runs(
        out=sources.out,
        cases=cases,
        volumes=torch.from_numpy(prepared)[:, None],
        recipe=recipe,
        start=start,
        made_from={
            "started_from": found[KINETICS].sha256 if sources.kinetics else "nothing",
            "volumes_sha256": hashlib.sha256(prepared.data).hexdigest(),
        },
        device=sources.device,
    )
    judged, folds_took = runs.cross_validate()
    trained, took = runs.train_on_all()
    record = {
        **_described(runs, trained),
        "lung_mask_sha256": found[LUNG_MASK].sha256,
        "cpu_minutes": round((folds_took + took) / 60, 2),
        "trained_on": {**_counts(cases), "left_out": left_out},
        "unseen_patients": summary([one for fold in judged for one in fold]),
        "folds": [summary(fold) for fold in judged],
        "by_ct": [one for fold in judged for one in fold],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    runs.weights.with_suffix(".json").write_text(f"{text}\n", encoding="utf-8")
    written: dict[str, Any] = json.loads(text)
    return written


def _first(recipe: Recipe) -> SeverityNetwork:
    """Make the network of a recipe before hours are spent on CTs for it."""
    if least := [name for name in ("width", "epochs", "batch") if getattr(recipe, name) < 1]:
        raise RecipeError(f"{' and '.join(least)} must be at least 1.")
    try:
        return untrained(recipe)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _start(network: SeverityNetwork, kinetics: Verified) -> dict[str, Tensor]:
    if not isinstance(network, i3d.I3D):
        raise RecipeError("Kinetics weights are of I3D: add --network i3d, or leave out --start kinetics.")
    return kinetics_start(kinetics, network)


def _usable(
    cases: Sequence[Case], volumes: Volumes, recipe: Recipe
) -> tuple[list[Case], NDArray[np.float16], list[dict[str, Any]]]:
    """Return the CTs that the pipeline would take, the same prepared, and why it would refuse the others."""
    answers = [(case, volumes(case)) for case in cases]
    usable = [(case, answer) for case, answer in answers if not isinstance(answer, Refusal)]
    left_out = [{"row": case.row, "reason": answer.reason} for case, answer in answers if isinstance(answer, Refusal)]
    patients = len({case.patient for case, _ in usable})
    if patients < max(2, recipe.folds):
        why = f"; row {left_out[0]['row']} is not: {left_out[0]['reason']}" if left_out else ""
        raise CaseError(
            f"CTs of {counted(patients, 'patient')} can be used{why}. At least {max(2, recipe.folds)} are needed, "
            "one for each fold."
        )
    return [case for case, _ in usable], np.stack([volume for _, volume in usable]), left_out


def _described(runs: Runs, network: SeverityNetwork) -> dict[str, Any]:
    return {
        "file": runs.weights.name,
        "slot": runs.name,
        "width": runs.recipe.width,
        "input": list(network.size),
        "parameters": sum(value.numel() for value in network.parameters()),
        "sha256": hashlib.sha256(runs.weights.read_bytes()).hexdigest(),
        "bytes": runs.weights.stat().st_size,
        "recipe": asdict(runs.recipe),
        **runs.made_from,
        "torch": torch.__version__,
        "device": runs.device,
        "threads": torch.get_num_threads(),
    }


def _counts(cases: Sequence[Case]) -> dict[str, Any]:
    covid = Counter({True: "yes", False: "no", None: "unknown"}[case.covid] for case in cases)
    levels = Counter(case.level for case in cases)
    return {
        "cts": len(cases),
        "patients": len({case.patient for case in cases}),
        "by_level": {str(level): levels[level] for level in sorted(levels)},
        "covid": dict(sorted(covid.items())),
    }
