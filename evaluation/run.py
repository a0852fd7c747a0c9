"""All images, one after the other, one in memory: load, run the pipeline, judge, keep the row."""

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from evaluation.calibration import GivesExperts
from evaluation.judging import Masks, Settings, judge, loss, masks_of
from evaluation.keeping import Kept, key_of
from evaluation.outputs import OutputError, check_names, read_out
from evaluation.rows import Image, Row, State
from evaluation.truth.known import Truth
from inference import selected
from inference.card import ModelCard
from inference.findings import Findings, Refusal, SelectionRefusedError
from inference.radiograph import Radiograph
from inference.registry import Pipeline
from inference.selected import Selected

logger = logging.getLogger(__name__)


class CannotCalibrateError(Exception):
    """The pipeline has no experts that could be asked one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is judged: a pipeline, and where it runs."""

    card: ModelCard
    pipeline: Pipeline[Any]
    device: str


class Evaluation:
    """One evaluation.

    Parameters
    ----------
    subject : Subject
        What is judged.
    settings : Settings
        How.
    kept : Kept
        What was done before, and takes what is done.

    Attributes
    ----------
    rows : list of Row
        Of the images that were run, or tried.
    algorithm : Algorithm or None
        Of the first findings, with those parameters that are the same for all images; None where there were none.
    experts : tuple of str
        Whose maps are judged one by one, in the order in which their weights are set.

    Raises
    ------
    CannotCalibrateError
        If each expert's map is wanted, and the pipeline has none.
    """

    def __init__(self, subject: Subject, settings: Settings, kept: Kept) -> None:
        if settings.calibrate and not isinstance(subject.pipeline, GivesExperts):
            raise CannotCalibrateError(f"{subject.card.name} has no experts to calibrate; opacity-ensemble has")
        self._subject = subject
        self._settings = settings
        self._kept = kept
        self.rows: list[Row] = []
        self.algorithm = kept.algorithm
        self.experts = subject.pipeline.expert_names if isinstance(subject.pipeline, GivesExperts) else ()
        self._checked = False

    def run(self, images: Sequence[tuple[Image, Truth]], *, on_done: Callable[[], None] = lambda: None) -> None:
        """Judge images; what was done before is taken from what was kept.

        Raises
        ------
        OutputError
            If the pipeline gives nothing that was asked for.
        """
        for image, truth in images:
            told = repr((image.uid, truth.label, truth.level, truth.boxes, sorted(truth.masks)))
            key = key_of(image.paths, truth.masks, told)
            row = self._kept.rows.get(key)
            if row is None or row.state is State.FAILED:
                row = self._judged(image, truth, key)
                self._kept.add(row)
            is_shown = bool(row.picture) and self._kept.picture(row.picture).exists()
            picture = row.picture if is_shown else ""
            self.rows.append(replace(row, path=_place(image), patient=image.patient, picture=picture))
            self._forget_pictures()
            on_done()

    def worst(self) -> list[Row]:
        """Return the images that the pipeline was most wrong about, the worst first."""
        judged = [row for row in self.rows if row.state is State.JUDGED and row.picture]
        return sorted(judged, key=lambda row: (-row.badness, row.uid))[: self._settings.pictures]

    def _judged(self, image: Image, truth: Truth, key: str) -> Row:
        began = perf_counter()
        row = Row(path=_place(image), uid=image.uid, state=State.JUDGED, patient=image.patient, key=key)
        try:
            row = self._compare(row, image, truth)
        except SelectionRefusedError as error:
            row = _not_judged(row, error.refusal)
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001 - the runner's edge: one image must not end the evaluation of hundreds
            _log_fault(row, error)
            reason = f"{type(error).__name__} while it was read or worked on."
            row = replace(row, state=State.FAILED, code="fault", reason=reason)
        return replace(row, seconds=round(perf_counter() - began, 3))

    def _compare(self, row: Row, image: Image, truth: Truth) -> Row:
        subject, settings = self._subject, self._settings
        source = selected.load(subject.card, image.paths)
        refusal = subject.pipeline.accepts(source)
        if refusal is not None:
            return _not_judged(row, refusal)
        findings = subject.pipeline(source, subject.device)
        self._note(findings)
        prediction = read_out(findings, source, settings.outputs)
        if not self._checked:
            check_names(findings, prediction, settings.outputs)
            self._checked = True
        masks = masks_of(truth, prediction, source, settings)
        judged = judge(row, truth, prediction, masks, settings)
        if settings.calibrate and masks is not None:
            judged = replace(judged, experts=dict(self._experts(source, masks)))
        return self._with_picture(judged, source, masks)

    def _experts(self, source: Selected, masks: Masks) -> Iterator[tuple[str, float]]:
        pipeline = self._subject.pipeline
        if isinstance(source, Radiograph) and isinstance(pipeline, GivesExperts):
            for name, values in pipeline.experts(source, device=self._subject.device).items():
                yield name, loss(values, masks.all_truth[0], self._settings)

    def _note(self, findings: Findings) -> None:
        new, old = findings.algorithm, self.algorithm or findings.algorithm
        same = {name: value for name, value in old.parameters.items() if new.parameters.get(name) == value}
        common = replace(new, parameters=same)
        if common != self.algorithm:
            self._kept.note(common)
        self.algorithm = common

    def _with_picture(self, row: Row, source: Selected, masks: Masks | None) -> Row:
        if not self._settings.pictures:
            return row
        from evaluation.pictures import picture

        name = f"{row.key[:16]}.png"
        self._kept.picture(name).write_bytes(picture(source, masks, row.boxes, row.found_boxes))
        return replace(row, picture=name)

    def _forget_pictures(self) -> None:
        """Keep the pictures of the worst images alone: a folder of thousands would be no smaller than the images."""
        shown = {row.uid for row in self.worst()}
        for number, row in enumerate(self.rows):
            if row.picture and row.uid not in shown:
                self._kept.picture(row.picture).unlink(missing_ok=True)
                self.rows[number] = replace(row, picture="")


def _not_judged(row: Row, refusal: Refusal) -> Row:
    return replace(row, state=State.REFUSED, code=refusal.code, reason=str(refusal))


def _place(image: Image) -> str:
    return str(image.paths[0] if len(image.paths) == 1 else image.paths[0].parent)


def _log_fault(row: Row, error: Exception) -> None:
    for line in "".join(traceback.format_exception(error)).splitlines():
        logger.debug("%s: %s", row.uid, line)
