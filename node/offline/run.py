"""A pipeline on everything in a folder that fits it, one job after the other; what does not fit keeps its reason."""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.markup import escape
from rich.progress import Progress

from db.files import write_durably
from inference.weights import Shelf
from node import worker_process
from node.console import as_json, progress
from node.offline import folder, intake
from node.offline.earlier import remove_results
from node.offline.folder import MADE_BY, RUN_FILE, TABLE_FILE
from node.offline.intake import Found, Study
from node.offline.job import Settings, UnwritableError, run_job
from node.offline.summary import Row, State, counts, place_of, write_table
from node.offline.visible import visible
from node.selection import rejected_by, select
from node.stacks import Stack, split

logger = logging.getLogger(__name__)

_SUMMARIES_KEPT = 3
_LABEL_SHOWN = 40
_HOW_TO_LEARN_MORE = "Run it with OPACITY_NODE_LOG__LEVEL=DEBUG: standard error then says what went wrong."
"""What an exception says may quote the header, and tables are passed on."""


class NoDicomError(Exception):
    """There is nothing to read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A job to be done; `row` is as it will be if all goes well."""

    study: Study
    stack: Stack
    row: Row


class Run:
    """One run, and what became of it.

    Parameters
    ----------
    settings : Settings
        Of every job.
    every : bool
        Whether every CT stack that fits is run, instead of the best of each study.
    overwrite : bool
        Whether results may be written among files that no run made.

    Attributes
    ----------
    rows : list of Row
        One for each image, stack, and file left out.
    summaries : list of mapping
        What the first jobs found, as `node.worker` puts it.
    """

    def __init__(self, settings: Settings, *, every: bool = False, overwrite: bool = False) -> None:
        self.rows: list[Row] = []
        self.summaries: list[Mapping[str, Any]] = []
        self._settings = settings
        self._every = every
        self._overwrite = overwrite
        self._others = 0
        self._started_at = datetime.now(UTC)

    def run(self, place: Path) -> None:
        """Run on a folder or a file; table and record are written also when it is broken off.

        Results of an earlier run go when all that could keep this one from its start has been seen.

        Raises
        ------
        FolderError
            If results may not or cannot be written there.
        NoDicomError
            If no DICOM file is there.
        inference.weights.WeightsRefusedError
            If weights are not there, or are not what they should be.
        UnwritableError
            If the folder of results takes no more.
        """
        out, pipeline = self._settings.out, self._settings.card.name
        folder.check(out, pipeline=pipeline, overwrite=self._overwrite)
        Shelf(self._settings.weights).require_for(pipeline)
        worker_process.quieten()
        with progress() as bar:
            tasks = self._plan(self._read(place, bar))
            with folder.held(out, pipeline=pipeline, overwrite=self._overwrite):
                self._save("running")
                state = "broken off"
                try:
                    remove_results(out)
                    self._work(tasks, bar)
                    state = "complete"
                finally:
                    self._save(state)

    def record(self, state: str) -> dict[str, Any]:
        """Return what run.json says."""
        settings = self._settings
        return {
            "made_by": MADE_BY,
            "research_use_only": True,
            "state": state,
            "pipeline": settings.card.name,
            "pipeline_version": settings.card.version,
            "device": settings.device,
            "maps": settings.maps.value,
            "started_at": self._started_at,
            "ended_at": datetime.now(UTC),
            "counts": counts(self.rows) | {"not-dicom": self._others},
            "rows": self.rows,
        }

    def _read(self, place: Path, bar: Progress) -> Found:
        paths = intake.files_in(place.absolute(), without=self._settings.out)
        task = bar.add_task("reading headers", total=len(paths))
        found = intake.read(paths, on_read=lambda: bar.advance(task))
        if not found.studies and not found.left_out:
            raise NoDicomError(f"{place} holds no DICOM file")
        self._others = found.others
        return found

    def _plan(self, found: Found) -> list[Task]:
        """Return what is to run; all else gets its row."""
        for item in found.left_out:
            self.rows.append(
                Row(
                    path=str(item.path),
                    state=State.LEFT_OUT,
                    code=item.code,
                    reason=item.reason,
                    sop_instance_uid=item.sop_instance_uid,
                )
            )
        tasks = []
        for study in found.studies:
            stacks = split(study.headers)
            for choice in select(stacks, self._settings.card, every=self._every, rejected=rejected_by(stacks)):
                row = _row(study, choice.stack)
                if choice.runs:
                    tasks.append(Task(study=study, stack=choice.stack, row=row))
                else:
                    self.rows.append(replace(row, state=State.NOT_RUN, code=choice.code, reason=choice.reason))
        return tasks

    def _work(self, tasks: list[Task], bar: Progress) -> None:
        shown = bar.add_task("running", total=len(tasks))
        for item in tasks:
            bar.update(shown, description=escape(item.row.stack[:_LABEL_SHOWN]))
            self.rows.append(self._run(item))
            bar.advance(shown)

    def _run(self, task: Task) -> Row:
        began = perf_counter()
        try:
            done = run_job(task.study, task.stack, self._settings)
        except UnwritableError:
            raise
        except Exception as error:  # noqa: BLE001 - the runner's edge: one image must not end the run of thousands
            _log_fault(task.row, error)
            reason = f"{type(error).__name__} while it was read or worked on. {_HOW_TO_LEARN_MORE}"
            return replace(task.row, state=State.FAILED, code="fault", reason=reason)
        seconds = round(perf_counter() - began, 3)
        if done.refusal is not None:
            refusal = done.refusal
            return replace(task.row, state=State.REFUSED, code=refusal.code, reason=str(refusal), seconds=seconds)
        if len(self.summaries) < _SUMMARIES_KEPT:
            self.summaries.append(done.summary)
        return replace(task.row, folder=done.folder, numbers=done.numbers, seconds=seconds)

    def _save(self, state: str) -> None:
        self.rows.sort(key=lambda row: (row.study_instance_uid, row.path))
        out = self._settings.out
        try:
            write_table(out / TABLE_FILE, self.rows)
            write_durably(out / RUN_FILE, ((as_json(self.record(state)) + "\n").encode(),))
        except OSError as error:
            raise UnwritableError(out, error) from error


def _log_fault(row: Row, error: Exception) -> None:
    for line in "".join(traceback.format_exception(error)).splitlines():
        logger.debug("%s: %s", row.path, visible(line))


def _row(study: Study, stack: Stack) -> Row:
    first, single = stack.first, len(stack.instances) == 1
    return Row(
        path=place_of([study.paths[i.sop_instance_uid] for i in stack.instances]),
        state=State.SUCCEEDED,
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        sop_instance_uid=first.sop_instance_uid if single else "",
        stack=stack.label,
        modality=first.modality,
        images=len(stack.instances),
    )
