"""evaluation.json: all numbers, settings and rows, in a form that stays. docs/evaluation.md describes it.

A field is added without notice; one that goes or changes its meaning raises `SCHEMA`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.judging import Settings
from evaluation.rows import Row
from evaluation.summary import Summary
from evaluation.truth.known import Known
from inference.findings import Algorithm

SCHEMA = "opacity-node/evaluation/1"
MADE_BY = "opacity-node evaluate"


class Ending(StrEnum):
    """How an evaluation ended."""

    COMPLETE = "complete"
    BROKEN_OFF = "broken off"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Record:
    """One evaluation, as it is shown and written.

    Attributes
    ----------
    pipeline, title, version : str
        Of the card.
    algorithm : Algorithm or None
        Of the findings; None where there were none.
    images : Path
        Where they are.
    unused_truth : tuple of str
        Names in the truth that no image has.
    """

    pipeline: str
    title: str
    version: str
    algorithm: Algorithm | None
    device: str
    ending: Ending
    started_at: datetime
    ended_at: datetime
    images: Path
    known: Known
    settings: Settings
    summary: Summary
    rows: Sequence[Row]
    unused_truth: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return what evaluation.json says."""
        algorithm = self.algorithm
        return {
            "schema": SCHEMA,
            "made_by": MADE_BY,
            "research_use_only": True,
            "state": self.ending.value,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "pipeline": {
                "name": self.pipeline,
                "version": self.version,
                "weights_sha256": None if algorithm is None else algorithm.weights_sha256,
                "parameters": {} if algorithm is None else dict(algorithm.parameters),
                "device": self.device,
            },
            "images": str(self.images),
            "truth": {"place": str(self.known.place), "kind": self.known.kind.value, "unused": list(self.unused_truth)},
            "settings": plain(self.settings),
            "results": plain(self.summary),
            "rows": [_row(row) for row in self.rows],
        }


def plain(value: Any) -> Any:  # noqa: ANN401 - any record
    """Return a record as what JSON has; infinities, as ROC curves have them, are None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _row(row: Row) -> dict[str, Any]:
    """Return a row without what only an unfinished evaluation needs, with Dice and IoU of its regions."""
    values = plain(row)
    for name, overlap in row.regions.items():
        values["regions"][name] |= {"dice": overlap.dice, "iou": overlap.iou}
    return {name: value for name, value in values.items() if name not in ("key", "picture")}
