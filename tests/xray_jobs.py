"""Jobs of pipelines on one small X-ray, run as the worker runs them, and the objects that they write."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from inference.compute import Limits, Precision
from node.worker import JobOutcome, JobSpec
from tests.radiographs import write_xray


def job(
    pipeline: str,
    folder: Path,
    weights: Path,
    pixels: np.ndarray,
    *,
    changes: Mapping[str, Any] | None = None,
    **settings: Any,
) -> JobSpec:
    """Write an image and return a job on it, with maps; `changes` are of its header."""
    path = write_xray(folder / "xray.dcm", pixels, changes)
    return JobSpec(
        job_id=1,
        pipeline=pipeline,
        selection_hash="ab" * 32,
        revision_number=1,
        created_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        paths=(path,),
        demographics_path=path,
        predecessors=(),
        storage=folder,
        result_folder=Path("result"),
        weights=weights,
        series_number=9500,
        series_description_prefix="AI",
        maps=("map",),
        settings=settings,
        limits=Limits(precision=Precision.FLOAT32),
    )


def objects(run: tuple[Path, JobOutcome]) -> dict[str, Path]:
    """Return the files of a job's folder and outcome by kind; of several of one kind the last."""
    folder, outcome = run
    assert outcome.refusal is None
    return {result.kind: folder / result.path for result in outcome.results}


def inflated(path: Path) -> Path:
    """Return a copy that is not deflated: dciodvfy reads none that is."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    copy = path.with_name("inflated.dcm")
    dataset.save_as(copy)
    return copy
