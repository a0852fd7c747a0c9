"""How good a pipeline is on images whose truth is known: ``evaluate``."""

import logging
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import numpy as np
import typer

from evaluation.rows import State
from inference.registry import CARDS
from inference.weights import WeightsRefusedError
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config
from node.cli.offline import check_device
from node.console import as_json, console, errors

if TYPE_CHECKING:  # they wait for the command
    from evaluation.outputs import Outputs
    from evaluation.record import Record
    from evaluation.truth import Known
    from node.evaluating import Request

_NOTHING_JUDGED, _FAULT, _INTERRUPTED = 3, 1, 130
_IOU_STEP = 0.05
_MOST_REASONS = 10
_EPILOG = (
    "--truth is a folder of masks, DIR/IMAGE.png (CT: IMAGE.nii.gz) or DIR/REGION/IMAGE.png (DIR/right-lung/…), where "
    "IMAGE is the SOP Instance UID or the name of the image's file, of CT the Series Instance UID; or a CSV file whose "
    "first line is image,label (0 or 1) or image,level or, as Kaggle's RSNA has it, patientId,x,y,width,height,Target. "
    "Exit status: 0 something was judged, 3 nothing was, 1 an image failed or results could not be written, 2 a wrong "
    "argument, 130 broken off: the same command goes on. docs/evaluation.md tells the rest."
)


@app.command(epilog=_EPILOG)
def evaluate(
    pipeline: Annotated[str, typer.Option("--pipeline", help="As `opacity-node pipelines` lists them.")],
    images: Annotated[Path, typer.Option("--images", help="A folder of DICOM files, any mix of studies.")],
    truth: Annotated[Path, typer.Option("--truth", help="A folder of masks, or a CSV file: below.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder that takes the report; by default evaluation-PIPELINE.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, ...")] = "cpu",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of installed weights; by default that of config.toml.")
    ] = None,
    score: Annotated[
        str | None, typer.Option("--score", help="Measurement that is the image's score; 'none' judges none.")
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option("--mask", help="Region whose mask is judged; may be given again.")
    ] = None,
    heatmap: Annotated[
        str | None, typer.Option("--map", help="Map whose pixels are probabilities; 'none' judges none.")
    ] = None,
    level: Annotated[str | None, typer.Option("--level", help="Measurement or category that is a level.")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Positive from this score on; by default the pipeline's own.")
    ] = None,
    missed_weight: Annotated[
        float, typer.Option("--missed-weight", min=0.001, help="Weight of a pixel of opacity that a map misses.")
    ] = 30.0,
    iou: Annotated[
        str, typer.Option("--iou", help="Overlaps at which a box counts as found: 0.4,0.5 or 0.5:0.95.")
    ] = "0.4,0.5",
    fill_boxes: Annotated[
        bool, typer.Option("--fill-boxes", help="Take true boxes, filled, as true masks too.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Judge each expert too, and print the weights of their blend.")
    ] = False,
    pictures: Annotated[
        int, typer.Option("--pictures", min=0, max=100, help="How many of the worst images the report shows.")
    ] = 8,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Judge a pipeline on images whose truth is known: a report with plots and pictures, and all numbers as JSON."""
    if pipeline not in CARDS:
        fail(f"--pipeline {pipeline}: there is no such pipeline; there are: {', '.join(CARDS)}")
    if not images.exists():
        fail(f"--images {images}: there is no such file or folder")
    check_device(device)
    settings = load_config(config)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("evaluation").setLevel(settings.log.level)

    # Imaging and statistics come with these.
    from evaluation.judging import Settings
    from evaluation.truth import Kind, TruthError, read_truth
    from node.evaluating import Request

    outputs = _outputs(pipeline, score=score, masks=mask, heatmap=heatmap, level=level, threshold=threshold)
    try:
        known = read_truth(truth, (*outputs.masks, *outputs.parts))
    except TruthError as error:
        fail(f"--truth {error}")
    _check_use(pipeline, outputs, known, fill_boxes=fill_boxes)
    if calibrate and not (known.kind is Kind.MASKS or (known.kind is Kind.BOXES and fill_boxes)):
        fail(f"--calibrate needs masks, or boxes and --fill-boxes; --truth {known.place} gives {known.kind}")
    request = Request(
        card=CARDS[pipeline],
        images=images,
        known=known,
        out=out or Path(f"evaluation-{pipeline}"),
        weights=weights or settings.storage.weights,
        device=device,
        settings=Settings(
            outputs=outputs,
            missed_weight=missed_weight,
            ious=_ious(iou),
            fill_boxes=fill_boxes,
            calibrate=calibrate,
            pictures=pictures,
        ),
        chosen=settings.pipelines.get(pipeline, {}),
        limits=settings.engine.limits,
    )
    record = _evaluated(request)
    if json:
        print(as_json(record.plain()))  # noqa: T201 - for a script, not for a terminal
    else:
        _show(record, request.out)
    raise typer.Exit(_status(record))


def _outputs(
    pipeline: str,
    *,
    score: str | None,
    masks: list[str] | None,
    heatmap: str | None,
    level: str | None,
    threshold: float | None,
) -> "Outputs":
    """Return what is judged: what the pipeline is known for, unless a person says otherwise."""
    from evaluation.outputs import DEFAULTS, Outputs

    known = DEFAULTS.get(pipeline, Outputs())
    return Outputs(
        score=_named(score, known.score),
        masks=tuple(masks) if masks else known.masks,
        parts=() if masks else known.parts,
        map=_named(heatmap, known.map),
        level=_named(level, known.level),
        boxes=known.boxes and not masks,
        threshold=threshold,
    )


def _named(given: str | None, known: str | None) -> str | None:
    return None if given == "none" else given or known


def _check_use(pipeline: str, outputs: "Outputs", known: "Known", *, fill_boxes: bool) -> None:
    """End where the truth says nothing about what the pipeline gives."""
    from evaluation.truth import Kind

    fits = {
        Kind.MASKS: outputs.masks or outputs.map,
        Kind.BOXES: outputs.boxes or outputs.masks or outputs.score or (fill_boxes and outputs.map),
        Kind.LABELS: outputs.score,
        Kind.LEVELS: outputs.level,
    }
    if not outputs.names and not outputs.boxes:
        fail(f"--pipeline {pipeline}: say what of its results is to be judged, by --score, --mask, --map or --level")
    if not fits[known.kind]:
        fail(
            f"--truth {known.place} gives {known.kind}, and of {pipeline} is judged: {', '.join(outputs.names)}. Give "
            "another truth, or name what is judged by --score, --mask, --map or --level"
        )


def _ious(text: str) -> tuple[float, ...]:
    first, colon, last = text.partition(":")
    try:
        ends = [float(part) for part in ((first, last) if colon else text.split(","))]
    except ValueError:
        ends = []
    if not ends or not all(0 < end <= 1 for end in ends) or (colon and ends[0] > ends[1]):
        fail(f"--iou {text}: give overlaps between 0 and 1, such as 0.4,0.5 or 0.5:0.95")
    if not colon:
        return tuple(ends)
    return tuple(round(float(value), 4) for value in np.arange(ends[0], ends[1] + _IOU_STEP / 2, _IOU_STEP))


def _evaluated(request: "Request") -> "Record":
    from evaluation.keeping import BusyError
    from evaluation.outputs import OutputError
    from evaluation.run import CannotCalibrateError
    from evaluation.truth import TruthError
    from node.evaluating import FolderError, NoImagesError, evaluate

    try:
        return evaluate(request)
    except TruthError as error:
        fail(f"--truth {error}")
    except (FolderError, NoImagesError, BusyError, OutputError, CannotCalibrateError) as error:
        fail(str(error))
    except WeightsRefusedError as error:
        _end(str(error), _NOTHING_JUDGED)
    except OSError as error:
        _end(f"{request.out} takes no more: {error.strerror or error}. Make room; the same command goes on.", _FAULT)


def _end(message: str, status: int) -> NoReturn:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(status) from None


def _show(record: "Record", out: Path) -> None:
    from evaluation.report import headlines
    from node.evaluating import RECORD_FILE, REPORT_FILE

    for tile in headlines(record.summary):
        _print(f"{tile.title}: {tile.value}" + (f" ({tile.note})" if tile.note else ""))
    for note in record.summary.notes:
        _print(f"! {note}")
    if record.summary.calibration is not None:
        found = record.summary.calibration
        _print(f'[pipelines.{record.pipeline}]\nvariant = "weighted"\n{found.setting}')
        _print(f"! {found.warning}" if found.warning else f"measured on {found.images} images")
    reasons = Counter((row.state, row.code, row.reason) for row in record.rows if row.state is not State.JUDGED)
    for (state, _, reason), number in reasons.most_common(_MOST_REASONS):
        _print(f"{number:>6} {state}: {reason}")
    counts = ", ".join(f"{count} {state}" for state, count in record.summary.counts.items() if count)
    unused = f", {len(record.unused_truth)} in the truth without an image" if record.unused_truth else ""
    _print(f"{record.ending}: {counts or 'no images'}{unused} · {out / REPORT_FILE} · {out / RECORD_FILE}")
    console.print("[bold]Research use only. Not a medical device.[/]")


def _print(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _status(record: "Record") -> int:
    from evaluation.record import Ending

    if record.ending is Ending.BROKEN_OFF:
        return _INTERRUPTED
    if record.summary.counts[State.FAILED.value]:
        return _FAULT
    return 0 if record.summary.counts[State.JUDGED.value] else _NOTHING_JUDGED
