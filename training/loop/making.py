"""A task, made: weights for its slot, with metadata; a card; a log; a report on the held-out fold."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from evaluation.record import plain
from evaluation.rows import Row
from inference.weights import manifest
from training.folding import dealt
from training.loop import report
from training.loop.fitting import fit
from training.loop.plan import Plan, PlanError
from training.loop.task import Example, Task
from training.state_files import made_once

SCHEMA = "opacity-node/training/1"
_KEY = 16


def make(task: Task[Any], plan: Plan, out: Path) -> dict[str, Any]:
    """Train, save, judge on the held-out fold, and write it all down; what was made so before is made no more.

    Parameters
    ----------
    task : Task
        What is learnt.
    plan : Plan
        How.
    out : Path
        Folder that takes ``SLOT.safetensors``, ``SLOT.json``, ``SLOT.csv`` and the folder ``SLOT-report``.

    Returns
    -------
    dict
        What the card, ``SLOT.json``, says.

    Raises
    ------
    PlanError
        If the examples are too few.
    """
    slot = manifest.SLOTS[task.slot]
    out.mkdir(parents=True, exist_ok=True)
    weights, said = out / f"{slot.name}.safetensors", _said(task, plan)
    seen, unseen = parted(task.examples, plan)
    cpu_seconds = made_once(weights, said, lambda: _learnt(task, plan, out, seen, unseen, said))
    network = loaded(task, weights).to(plan.device)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    began = datetime.now(UTC)
    judged = _judged(task, network, unseen, plan.device)
    fold = report.Judged(
        slot=slot,
        sha256=sha256,
        device=plan.device,
        fold=f"fold {plan.fold} of {plan.folds}" if plan.folds else "no fold",
        place=task.place,
        kind=task.kind,
        began=began,
    )
    summary = report.write(out / f"{slot.name}-report", fold, judged, task.settings)
    card = {
        "schema": SCHEMA,
        "made_by": report.MADE_BY,
        "research_use_only": True,
        "slot": slot.name,
        "title": slot.title,
        "file": weights.name,
        "bytes": weights.stat().st_size,
        "sha256": sha256,
        "licence": plan.licence,
        "metadata": said,
        "recipe": {**task.numbers, **plan.decisive},
        "start": task.start.said,
        "parameters": sum(value.numel() for value in task.learnt(network).parameters()),
        "data": {**task.data, **_counts(task, seen, unseen)},
        "held_out_fold": plain(summary),
        **plain(task.told(judged)),
        "limits": list(task.limits),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "device": plan.device,
        "threads": torch.get_num_threads(),
        "cpu_minutes": round(cpu_seconds / 60, 2),
    }
    text = json.dumps(card, indent=1, ensure_ascii=False)
    weights.with_suffix(".json").write_text(f"{text}\n", encoding="utf-8")
    written: dict[str, Any] = json.loads(text)
    return written


def parted(examples: Sequence[Example], plan: Plan) -> tuple[list[int], list[int]]:
    """Return the numbers of the examples to learn from, and of those whose patients are held out."""
    everything = range(len(examples))
    if not plan.folds:
        return list(everything), []
    patients = len({example.patient for example in examples})
    if patients < plan.folds:
        raise PlanError(
            f"There are images of {patients} patients, and {plan.folds} folds need as many; give less as --folds, or "
            "0, which holds out nobody."
        )
    folds = dealt(everything, lambda number: examples[number].patient, count=plan.folds, seed=plan.seed)
    unseen = folds[plan.fold - 1]
    held_out = set(unseen)
    return [number for number in everything if number not in held_out], unseen


def loaded(task: Task[Any], weights: Path) -> nn.Module:
    """Return the network of a task with what its file holds: what is judged is what is installed."""
    network = task.network()
    task.learnt(network).load_state_dict(load_file(weights))
    return network.eval().requires_grad_(requires_grad=False)


def _said(task: Task[Any], plan: Plan) -> dict[str, str]:
    """Return all that decides what comes out: the metadata of the file."""
    slot = manifest.SLOTS[task.slot]
    return {
        "made_by": report.MADE_BY,
        "slot": slot.name,
        "network": slot.network,
        "outputs": ", ".join(slot.outputs),
        "recipe": json.dumps({**task.numbers, **plan.decisive}, sort_keys=True),
        "data_sha256": _digest(sorted((one.name, one.patient, one.digest) for one in task.examples)),
        "start": task.start.said,
    }


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _learnt(
    task: Task[Any], plan: Plan, out: Path, seen: Sequence[int], unseen: Sequence[int], said: Mapping[str, str]
) -> dict[str, Tensor]:
    unfinished = out / "unfinished" / f"{task.slot}-{_digest(dict(said))[:_KEY]}"
    network = fit(task, plan, seen=seen, unseen=unseen, unfinished=unfinished, log=out / f"{task.slot}.csv")
    return {name: value.detach().cpu().contiguous() for name, value in task.learnt(network).state_dict().items()}


def _counts(task: Task[Any], seen: Sequence[int], unseen: Sequence[int]) -> dict[str, Any]:
    return {
        name: {"images": len(numbers), "patients": len({task.examples[number].patient for number in numbers})}
        for name, numbers in (("learnt_from", seen), ("held_out", unseen))
    }


def _judged(task: Task[Any], network: nn.Module, unseen: Sequence[int], device: str) -> list[Row]:
    patients = {name: number for number, name in enumerate(sorted({one.patient for one in task.examples}), start=1)}
    with torch.inference_mode():
        rows = [(number, task.judged(network, number, device)) for number in unseen]
    return [
        replace(row, path=task.examples[n].name, uid=task.examples[n].name, patient=patients[task.examples[n].patient])
        for n, row in rows
    ]
