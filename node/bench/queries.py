"""Queries as viewers ask them, and what they take on a database of many studies: ``bench query``.

Seconds are from the question to the first match, and to the last, each with what a list of studies shows; memory is
that of this process beyond what it had before, at its peak.
"""

import gc
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydicom.dataset import Dataset
from rich.table import Table

from db import schema
from db.repository.finding import find
from db.session import Database
from handlers.answer import answer
from handlers.identifier import STUDY_ROOT, Identifier
from handlers.query import question
from node.bench.machine import describe
from node.bench.old_studies import ROOT, fill
from node.console import console

_GOAL_S = 0.2
_SHOWN = ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "AccessionNumber", "StudyDescription")
_COUNTED = ("ModalitiesInStudy", "NumberOfStudyRelatedInstances")
_LOOK_S = 0.01


def _identifier(level: str, **keys: str) -> Identifier:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword in (*_SHOWN, *_COUNTED):
        setattr(dataset, keyword, "" if not keyword.startswith("Number") else None)
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return Identifier.read(dataset, f"{STUDY_ROOT}.1")


QUERIES = {
    "a study by its UID": _identifier("STUDY", StudyInstanceUID=f"{ROOT}.7"),
    "a patient's studies by ID": _identifier("STUDY", PatientID="P7"),
    "by accession number": _identifier("STUDY", AccessionNumber="A7"),
    "by the beginning of a name": _identifier("STUDY", PatientName="FAMILY7^*"),
    "series of a study": _identifier("SERIES", StudyInstanceUID=f"{ROOT}.7"),
    "images of a series": _identifier("IMAGE", StudyInstanceUID=f"{ROOT}.7", SeriesInstanceUID=f"{ROOT}.7.2"),
    "by the end of a name": _identifier("STUDY", PatientName="*y7^given"),
    "by a name that nobody has": _identifier("STUDY", PatientName="*nobody*"),
    "of a day": _identifier("STUDY", StudyDate="20260101-20260101"),
    "all studies": _identifier("STUDY"),
}
"""By name; the dates of the archive end now."""
UNSELECTIVE = frozenset({"by the end of a name", "by a name that nobody has", "all studies", "of a day"})
"""What reads every study, or answers with so many as there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What one query took."""

    matches: int
    first_s: float | None
    """None where nothing matches."""
    last_s: float
    memory_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Queries:
    """Figures of one run."""

    machine: dict[str, str]
    studies: int
    instances_per_study: int
    runs: int
    database_mb: float
    goal_s: float
    queries: dict[str, Answered]


def matches(database: Database, identifier: Identifier) -> Iterator[Dataset]:
    """Yield the answers to a query, as a peer would get them."""
    for found in find(database, question(identifier)):
        yield answer(found, identifier, ae_title="BENCH", head=Dataset)


def measure(*, studies: int, instances: int, runs: int) -> Queries:
    """Measure on a database of so many studies.

    Parameters
    ----------
    studies, instances : int
        Of the database: studies, and instances in each.
    runs : int
        How often each query is asked; medians count.
    """
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch:
        path = Path(scratch) / "node.sqlite3"
        with closing(Database(f"sqlite:///{path}")) as database:
            schema.upgrade(database)
            fill(database, studies=studies, instances=instances)
        with closing(Database(f"sqlite:///{path}", for_queries=True)) as database:
            answered = {name: _median([_ask(database, query) for _ in range(runs)]) for name, query in QUERIES.items()}
        database_mb = path.stat().st_size / 1e6
    return Queries(
        machine=describe(),
        studies=studies,
        instances_per_study=instances,
        runs=runs,
        database_mb=round(database_mb, 1),
        goal_s=_GOAL_S,
        queries=answered,
    )


def _ask(database: Database, identifier: Identifier) -> Answered:
    gc.collect()
    with _Memory() as memory:
        count, first_s, started = 0, None, time.perf_counter()
        for _ in matches(database, identifier):
            count += 1
            first_s = time.perf_counter() - started if first_s is None else first_s
        last_s = time.perf_counter() - started
    return Answered(matches=count, first_s=first_s, last_s=last_s, memory_mb=memory.grown_mb)


def _median(answered: list[Answered]) -> Answered:
    firsts = [one.first_s for one in answered if one.first_s is not None]
    return Answered(
        matches=answered[0].matches,
        first_s=round(statistics.median(firsts), 4) if firsts else None,
        last_s=round(statistics.median(one.last_s for one in answered), 4),
        memory_mb=round(max(one.memory_mb for one in answered), 1),
    )


class _Memory:
    """The growth of this process, watched from beside."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._peak = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown_mb(self) -> float:
        """MB at the peak beyond the beginning."""
        return (self._peak - self._before) / 1e6

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            self._peak = max(self._peak, self._process.memory_info().rss)


def show(report: Queries) -> None:
    """Print what each query takes."""
    title = f"{report.studies} studies of {report.instances_per_study} instances, {report.database_mb:.0f} MB"
    table = Table("", "matches", "s to the first", "s to the last", "MB more at the peak", title=title)
    for name, one in report.queries.items():
        first = "" if one.first_s is None else f"{one.first_s:.3f}"
        table.add_row(name, str(one.matches), first, f"{one.last_s:.3f}", f"{one.memory_mb:.1f}")
    console.print(table)
