"""A pipeline on all images of a folder, judged; finds images as `run` does, and writes a report and all numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import Progress

from db.files import write_durably
from evaluation.judging import Settings
from evaluation.keeping import UNFINISHED, Kept
from evaluation.record import MADE_BY, Ending, Record, plain
from evaluation.report import report
from evaluation.rows import Image, Row, State
from evaluation.run import Evaluation, Subject
from evaluation.summary import summarise
from evaluation.truth import Known
from evaluation.truth.known import plain_name
from evaluation.truth.matching import Matched, match
from inference import registry
from inference.card import ModelCard, SettingValue
from inference.compute import Limits, set_limits
from inference.weights import Shelf, combined_sha256
from node import worker_process
from node.console import as_json, progress
from node.offline import intake
from node.offline.summary import place_of
from node.offline.visible import visible
from node.selection import rejected_by, select
from node.stacks import Stack, split

REPORT_FILE, RECORD_FILE = "report.html", "evaluation.json"


class FolderError(Exception):
    """Results cannot be written there."""


class NoImagesError(Exception):
    """There is nothing to judge."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a person asks for.

    Attributes
    ----------
    images, out, weights : Path
        Folder of images, of results and of weights.
    chosen : Mapping
        The site's settings of the pipeline.
    """

    card: ModelCard
    images: Path
    known: Known
    out: Path
    weights: Path
    device: str
    settings: Settings
    chosen: Mapping[str, SettingValue]
    limits: Limits


def check_folder(out: Path) -> None:
    """See whether an evaluation may write into a folder.

    Raises
    ------
    FolderError
        If it holds what no evaluation wrote.
    """
    if out.exists() and not out.is_dir():
        raise FolderError(f"{out} is a file; name a folder with --out")
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    strangers = names - {REPORT_FILE, RECORD_FILE, UNFINISHED}
    if strangers or (names and UNFINISHED not in names and not _is_ours(out / RECORD_FILE)):
        raise FolderError(f"{out} holds files that no evaluation wrote; choose another folder with --out")


def evaluate(request: Request) -> Record:
    """Judge all images; what was done is written also when it is broken off, and gone on with the next time.

    Raises
    ------
    FolderError, evaluation.keeping.BusyError, OSError
        If results cannot be written there.
    NoImagesError, evaluation.truth.TruthError
        If there is nothing to judge.
    evaluation.outputs.OutputError, evaluation.run.CannotCalibrateError
        If the pipeline does not give what is to be judged.
    inference.weights.WeightsRefusedError
        If weights are not there, or are not what they should be.
    """
    check_folder(request.out)
    started_at = datetime.now(UTC)
    worker_process.quieten()
    set_limits(request.limits)
    pipeline = registry.load(request.card.name, weights=request.weights, settings=request.chosen)
    subject = Subject(card=request.card, pipeline=pipeline, device=request.device)
    with progress() as bar:
        images, rows = _images(request, bar)
        matched = match(images, request.known)
        rows += [_without_truth(image) for image in matched.without]
        with Kept(request.out, _what(request)).held() as kept:
            evaluation = Evaluation(subject, request.settings, kept)
            ending = _run(evaluation, matched, bar)
            record = _record(request, evaluation, [*evaluation.rows, *rows], matched, ending, started_at)
            page = report(record, evaluation.worst(), kept.picture)
            write_durably(request.out / REPORT_FILE, (page.encode(),))
            write_durably(request.out / RECORD_FILE, ((as_json(record.plain()) + "\n").encode(),))
            if ending is Ending.COMPLETE:
                kept.remove()
    return record


def _run(evaluation: Evaluation, matched: Matched, bar: Progress) -> Ending:
    task = bar.add_task("evaluating", total=len(matched.pairs))
    try:
        evaluation.run(matched.pairs, on_done=lambda: bar.advance(task))
    except KeyboardInterrupt:
        return Ending.BROKEN_OFF
    return Ending.COMPLETE


def _images(request: Request, bar: Progress) -> tuple[list[Image], list[Row]]:
    """Return the images that the pipeline reads, and a row for all else."""
    paths = intake.files_in(request.images.absolute(), without=request.out)
    task = bar.add_task("reading headers", total=len(paths))
    found = intake.read(paths, on_read=lambda: bar.advance(task))
    if not found.studies and not found.left_out:
        raise NoImagesError(
            f"{request.images} holds no DICOM file. PNG and JPEG say too little of what their pixels are: "
            "docs/evaluation.md has a few lines that make DICOM of them"
        )
    images = []
    rows = [
        Row(
            path=visible(str(i.path)),
            uid=i.sop_instance_uid,
            state=State.LEFT_OUT,
            code=i.code,
            reason=visible(i.reason),
        )
        for i in found.left_out
    ]
    patients: dict[str, int] = {}
    for study in found.studies:
        patient = patients.setdefault(study.patient_id or study.study_instance_uid, len(patients) + 1)
        stacks = split(study.headers)
        for choice in select(stacks, request.card, every=True, rejected=rejected_by(stacks)):
            image = _image(study, choice.stack, patient)
            if choice.runs:
                images.append(image)
            else:
                reason = visible(choice.reason)
                rows.append(replace(_row(image), state=State.NOT_RUN, code=choice.code, reason=reason))
    return images, rows


def _image(study: intake.Study, stack: Stack, patient: int) -> Image:
    paths = tuple(study.paths[instance.sop_instance_uid] for instance in stack.instances)
    first = stack.first
    names = [first.sop_instance_uid, plain_name(paths[0].name)]
    if len(paths) > 1:
        names = [first.series_instance_uid, Path(place_of(paths)).name, study.study_instance_uid]
    return Image(paths=paths, uid=names[0], names=tuple(dict.fromkeys(names)), patient=patient)


def _row(image: Image) -> Row:
    return Row(path=visible(place_of(image.paths)), uid=image.uid, state=State.NO_TRUTH, patient=image.patient)


def _without_truth(image: Image) -> Row:
    return replace(_row(image), code="no-truth", reason=f"The truth names neither {' nor '.join(image.names)}.")


def _what(request: Request) -> dict[str, Any]:
    """Return all that decides what a row says, but the image and its truth."""
    shelf = Shelf(request.weights).require_for(request.card.name)
    return {
        "program": version("opacity-node"),
        "pipeline": [request.card.name, request.card.version, dict(request.chosen), request.device],
        "precision": str(request.limits.precision),
        "weights": combined_sha256(list(shelf.values())) if shelf else None,
        "settings": {name: value for name, value in plain(request.settings).items() if name != "drawing"},
    }


def _record(
    request: Request,
    evaluation: Evaluation,
    rows: list[Row],
    matched: Matched,
    ending: Ending,
    started_at: datetime,
) -> Record:
    card = request.card
    return Record(
        pipeline=card.name,
        title=card.title,
        version=card.version,
        algorithm=evaluation.algorithm,
        device=request.device,
        ending=ending,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        images=request.images,
        known=request.known,
        settings=request.settings,
        summary=summarise(rows, request.settings, evaluation.experts),
        rows=rows,
        unused_truth=matched.unused,
    )


def _is_ours(path: Path) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("made_by") == MADE_BY
