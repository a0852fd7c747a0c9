"""One selection: through the service's worker, then into files for those who do not read DICOM."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from db.files import write_durably
from dicom_out.context import ResultKind
from inference.card import ModelCard, SettingValue
from inference.compute import Limits
from inference.findings import Findings, Refusal
from inference.selected import Selected
from node import worker
from node.console import as_json
from node.offline import export
from node.offline.findings_file import Written, findings_file
from node.offline.folder import FINDINGS_FILE, UNFINISHED, new_name
from node.offline.intake import Study, sha256_of
from node.offline.maps import Maps
from node.offline.summary import headlines
from node.sections import Results
from node.selection import selection_hash
from node.stacks import Stack

_KINDS = {Maps.SOURCE_GRID: (ResultKind.MAP.value,), Maps.COARSE: (ResultKind.COARSE_MAP.value,), Maps.NONE: ()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How every job of a run is done.

    Attributes
    ----------
    out, weights : Path
        Folders of results and of weights.
    challenge_map : bool
        Whether the map of opacity is also written with 8 bits.
    chosen : mapping
        Settings of the pipeline.
    limits : Limits
        What networks may take.
    """

    card: ModelCard
    out: Path
    weights: Path
    device: str
    maps: Maps
    results: Results
    challenge_map: bool = False
    chosen: Mapping[str, SettingValue] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What became of a job: a refusal, or a folder of results, its headline numbers and the worker's summary."""

    refusal: Refusal | None = None
    folder: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)


class UnwritableError(Exception):
    """The folder of results takes no more."""

    def __init__(self, out: Path, error: OSError) -> None:
        super().__init__(
            f"{out} takes no more: {error.strerror or error}. What stands in it is whole; make room and run it again."
        )


def run_job(study: Study, stack: Stack, settings: Settings) -> Done:
    """Run one job; its folder appears when all of it is there.

    Raises
    ------
    UnwritableError
        If results cannot be written.
    Exception
        Whatever a pipeline or a decoder raises.
    """
    wanted = stack.first.sop_instance_uid if len(stack.instances) == 1 else stack.first.series_instance_uid
    try:
        name = new_name(settings.out, wanted)
    except OSError as error:
        raise UnwritableError(settings.out, error) from error
    spec = _spec(study, stack, settings, name)
    watch = worker.Stopwatch()
    inferred = worker.infer(spec, settings.device, watch)
    if isinstance(inferred, Refusal):
        return Done(refusal=inferred)
    findings, source = inferred
    unfinished = settings.out / spec.result_folder
    try:
        outcome = worker.write(spec, findings, source, watch)
        _write_files(findings, source, spec, settings, outcome)
        unfinished.rename(settings.out / name)
    except OSError as error:
        raise UnwritableError(settings.out, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Done(folder=name, numbers=headlines(findings), summary=outcome.summary)


def _spec(study: Study, stack: Stack, settings: Settings, name: str) -> worker.JobSpec:
    hashes = {i.sop_instance_uid: sha256_of(study.paths[i.sop_instance_uid]) for i in stack.instances}
    paths = tuple(study.paths[i.sop_instance_uid].absolute() for i in stack.instances)
    return worker.JobSpec(
        job_id=0,
        pipeline=settings.card.name,
        selection_hash=selection_hash(stack.instances, hashes, settings.card.input.header_keywords),
        revision_number=1,
        created_at=datetime.now(UTC),
        paths=paths,
        demographics_path=paths[0],
        predecessors=(),
        storage=settings.out,
        result_folder=Path(f"{name}{UNFINISHED}"),
        weights=settings.weights,
        series_number=settings.results.series_number,
        series_description_prefix=settings.results.series_description_prefix,
        maps=_KINDS[settings.maps],
        settings=settings.chosen,
        limits=settings.limits,
    )


def _write_files(
    findings: Findings, source: Selected, spec: worker.JobSpec, settings: Settings, outcome: worker.JobOutcome
) -> None:
    folder = spec.storage / spec.result_folder
    written = Written(
        objects=tuple(asdict(result) | {"path": Path(result.path).name} for result in outcome.results),
        pictures=tuple(export.write_pictures([spec.storage / result.path for result in outcome.results], folder)),
        masks=export.write_masks(findings, source, folder),
        maps=export.write_maps(findings, source, folder, settings.maps),
        challenge_map=export.write_challenge_map(findings, source, folder) if settings.challenge_map else None,
    )
    made = findings_file(findings, source, written, paths=spec.paths, created_at=spec.created_at)
    write_durably(folder / FINDINGS_FILE, ((as_json(made) + "\n").encode(),))
