"""One job: files -> series -> pipeline -> findings -> result files. No database, no network.

Runs in a process that owns one device and may be killed at any moment: files appear whole or not at all, and a second
run of the same job writes the same bytes.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.files import Hashed, make_folder_durably, write_durably
from inference.card import SettingValue
from inference.compute import Limits, set_limits
from inference.findings import Findings, Measurement, Refusal, SelectionRefusedError
from node import ahead

if TYPE_CHECKING:  # imported by the worker's own process alone
    from pydicom import Dataset

    from dicom_out.context import ResultContext
    from inference.selected import Selected


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec:
    """All that a worker is told.

    Attributes
    ----------
    paths : tuple of Path
        Absolute, in the order of the selection.
    demographics_path : Path
        Of the instance whose patient and study attributes results take.
    predecessors : tuple of mapping
        Reports that this job's report replaces: SOP Class, SOP Instance and Series Instance UID.
    names_source : bool
        Whether results say which images of the study they are about.
    notices : bool
        Whether a refusal is written as a notice.
    maps : tuple of str
        Kinds of maps that are written.
    refusal : Refusal or None
        Known before the start: nothing runs, and only the notice is written.
    created_at : datetime
        Of the job; dates in result objects come from here, so that a second run makes equal objects.
    storage, result_folder : Path
        Where result files go: the root, and the job's folder relative to it.
    settings : mapping
        Of the pipeline, as the site chose them.
    limits : Limits
        What networks may take.
    keeps_selection : bool
        Whether the next job is likely to read the same files: what was loaded then stays in memory.
    """

    job_id: int
    pipeline: str
    selection_hash: str
    revision_number: int
    created_at: datetime
    paths: tuple[Path, ...]
    demographics_path: Path
    predecessors: tuple[Mapping[str, str], ...]
    storage: Path
    result_folder: Path
    weights: Path
    series_number: int
    series_description_prefix: str
    names_source: bool = False
    notices: bool = False
    maps: tuple[str, ...] = ()
    refusal: Refusal | None = None
    settings: Mapping[str, SettingValue] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    keeps_selection: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultFile:
    """A DICOM object on stable storage; `path` is relative to the storage folder."""

    kind: str
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    path: str
    size: int
    sha256: str
    device_uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOutcome:
    """Result files and what they say; after a refusal, why it was, and its notice if somebody wants one."""

    refusal: Refusal | None = None
    results: tuple[ResultFile, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


class Stopwatch:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done within."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 4)


def run(spec: JobSpec, device: str) -> JobOutcome:
    """Run one job.

    Returns
    -------
    JobOutcome
        With a refusal where the data do not fit.

    Raises
    ------
    Exception
        A fault: whatever a pipeline, a decoder or the disk raises; the job may be tried again.
    """
    from inference.weights.refusals import of_a_job

    watch = Stopwatch()
    inferred = spec.refusal or infer(spec, device, watch)
    if isinstance(inferred, Refusal):
        return _refused(spec, of_a_job(inferred), watch)
    return write(spec, *inferred, watch)


def infer(spec: JobSpec, device: str, watch: Stopwatch) -> "tuple[Findings, Selected] | Refusal":
    """Load what a job reads and run its pipeline on it; a refusal where the data do not fit."""
    from inference import registry
    from inference.weights import WeightsRefusedError

    if (done := ahead.ready(spec)) is not None:
        return done
    set_limits(spec.limits)
    try:
        with watch.stage("load"):
            loaded = ahead.selections.load(spec)
            pipeline = registry.load(spec.pipeline, weights=spec.weights, settings=spec.settings)
        with watch.stage("pipeline"):
            return pipeline.accepts(loaded) or (pipeline(loaded, device), loaded)
    except (SelectionRefusedError, WeightsRefusedError) as error:
        return error.refusal


def write(spec: JobSpec, findings: Findings, loaded: "Selected", watch: Stopwatch) -> JobOutcome:
    """Write the objects of what was found."""
    from dicom_out.build import ResultKind, build

    with watch.stage("build"):
        objects = build(
            findings,
            loaded,
            _context(spec),
            demographics=_header(spec.demographics_path),
            maps=[ResultKind(kind) for kind in spec.maps],
        )
    with watch.stage("write"):
        results = tuple(_write(spec, item) for item in objects)
    return JobOutcome(results=results, timings=watch.seconds, summary=summarise(findings))


def _refused(spec: JobSpec, refusal: Refusal, watch: Stopwatch) -> JobOutcome:
    """Write the notice of a refusal, where a rule wants one."""
    if not spec.notices:
        return JobOutcome(refusal=refusal, timings=watch.seconds)
    from dicom_out.notice import notice
    from inference import registry

    with watch.stage("build"):
        item = notice(
            refusal,
            [_header(path) for path in spec.paths],
            _context(spec),
            registry.CARDS[spec.pipeline],
            demographics=_header(spec.demographics_path),
        )
    with watch.stage("write"):
        results = (_write(spec, item),)
    return JobOutcome(refusal=refusal, results=results, timings=watch.seconds)


def _context(spec: JobSpec) -> "ResultContext":
    from dicom_out.context import Predecessor, ResultContext, source_named

    return ResultContext(
        pipeline=spec.pipeline,
        selection_hash=spec.selection_hash,
        created_at=spec.created_at,
        revision=spec.revision_number,
        series_number=spec.series_number,
        series_description_prefix=spec.series_description_prefix,
        predecessors=tuple(Predecessor(**predecessor) for predecessor in spec.predecessors),
        about=source_named(_header(spec.paths[0]), is_stack=len(spec.paths) > 1) if spec.names_source else "",
    )


def _header(path: Path) -> "Dataset":
    from pydicom import dcmread

    return dcmread(path, stop_before_pixels=True)


def _write(spec: JobSpec, item: Any) -> ResultFile:  # noqa: ANN401 - a ResultObject, imported late
    folder = spec.storage / spec.result_folder
    make_folder_durably(folder)
    relative = spec.result_folder / f"{item.kind.value}-{item.index}.dcm"
    parts = Hashed(item.file())
    write_durably(spec.storage / relative, parts)
    return ResultFile(
        kind=item.kind.value,
        sop_instance_uid=str(item.dataset.SOPInstanceUID),
        sop_class_uid=str(item.dataset.SOPClassUID),
        series_instance_uid=str(item.dataset.SeriesInstanceUID),
        path=str(relative),
        size=parts.size,
        sha256=parts.sha256.hexdigest(),
        device_uid=str(item.dataset.ContributingEquipmentSequence[0].DeviceUID),
    )


def summarise(findings: Findings) -> dict[str, Any]:
    """Return what was found as plain values, for tables and scripts."""
    algorithm = findings.algorithm
    return {
        "algorithm": {
            "name": algorithm.name,
            "version": algorithm.version,
            "weights_sha256": algorithm.weights_sha256,
            "parameters": dict(algorithm.parameters),
        },
        "measurements": [_plain(m) for m in findings.measurements],
        "categories": [
            {"concept": c.concept.meaning, "value": c.value.meaning, "confidence": c.confidence}
            for c in findings.categories
        ],
        "regions": [{"label": r.label, "measurements": [_plain(m) for m in r.measurements]} for r in findings.regions],
        "boxes": [
            {"label": box.label, "finding": box.finding.meaning, "certainty": round(box.certainty, 4)}
            for box in findings.boxes or ()
        ],
        "warnings": list(findings.warnings),
    }


def _plain(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.concept.meaning,
        "value": round(measurement.value, 4),
        "unit": measurement.unit.value,
    }
