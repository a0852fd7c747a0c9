"""The report on the held-out fold, as `opacity-node evaluate` writes it; without pictures of patients."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from evaluation.judging import Settings
from evaluation.record import Ending, Record
from evaluation.report import report
from evaluation.rows import Row
from evaluation.summary import Summary, summarise
from evaluation.truth import Known
from evaluation.truth.known import Kind
from inference.findings import Algorithm
from inference.weights.manifest import Slot

MADE_BY = "opacity-node train"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One network, and what it was judged on.

    Attributes
    ----------
    slot : Slot
        That the weights are for.
    sha256 : str
        Of the weights.
    device, fold : str
        Where it ran, and on which images, in words.
    place : Path
        Where the images are.
    kind : Kind
        Of the truth.
    began : datetime
        When judging began.
    """

    slot: Slot
    sha256: str
    device: str
    fold: str
    place: Path
    kind: Kind
    began: datetime


def write(folder: Path, judged: Judged, rows: Sequence[Row], settings: Settings) -> Summary:
    """Write ``report.html`` and ``evaluation.json``; return the numbers."""
    settings = replace(settings, pictures=0)
    summary = summarise(rows, settings)
    record = Record(
        pipeline=judged.slot.name,
        title=judged.slot.title,
        version=judged.fold,
        algorithm=Algorithm(name=judged.slot.name, version=judged.fold, weights_sha256=judged.sha256, parameters={}),
        device=judged.device,
        ending=Ending.COMPLETE,
        started_at=judged.began,
        ended_at=datetime.now(UTC),
        images=judged.place,
        known=Known(kind=judged.kind, place=judged.place, of={}),
        settings=settings,
        summary=summary,
        rows=rows,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(report(record, [], folder.joinpath), encoding="utf-8")
    plain = {**record.plain(), "made_by": MADE_BY}
    (folder / "evaluation.json").write_text(f"{json.dumps(plain, indent=1)}\n", encoding="utf-8")
    return summary
