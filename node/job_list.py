"""What ``jobs`` shows: a line for each job, and what was said of them below."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.markup import escape

from db.repository.reports import DeliveryReport, JobReport
from node.console import Footnotes, console, listing, state_shown, time_shown, uid_shown

_NOT_RUNNING = "the node does not answer: if it does not run, neither does this job, and both start again with `serve`"


def show_jobs(jobs: Sequence[JobReport], *, title: str, with_study: bool = True, answering: bool = True) -> None:
    """Print jobs as a table, two lines each for most, within 80 columns; `answering` says whether the node does."""
    notes = Footnotes()
    columns = ["job", "study", "pipeline and stack", "state, ran (UTC)", "deliveries", "note"]
    table = listing(title, *(c for c in columns if with_study or c != "study"), right=("job",))
    for column in table.columns:
        if column.header == "pipeline and stack":  # a name stays whole, its stack takes the lines that it needs
            column.no_wrap, column.ratio = False, 1
            column.min_width = max((len(job.pipeline) for job in jobs), default=0)
        if column.header == "deliveries":
            column.no_wrap, column.overflow = False, "fold"
    table.expand = True
    for job in jobs:
        said = [*_messages(job), *([_NOT_RUNNING] if job.state == "running" and not answering else [])]
        cells = [
            str(job.id),
            uid_shown(job.study_instance_uid),
            f"{escape(job.pipeline)}\n[dim]{escape(job.stack)}[/]",
            f"{state_shown(job.state)}\n{_ran(job)}",
            deliveries_shown(job.deliveries),
            " ".join(filter(None, (notes.number(message) for message in said))),
        ]
        if not with_study:
            del cells[1]
        table.add_row(*cells)
    console.print(table)
    console.print(notes.table())


def deliveries_shown(deliveries: Iterable[DeliveryReport]) -> str:
    """Return how many objects are in which state, a line for each destination."""
    places: dict[str, Counter[str]] = {}
    for delivery in deliveries:
        places.setdefault(delivery.destination, Counter())[delivery.state] += 1
    return "\n".join(
        f"{escape(name)}: " + ", ".join(f"{number} {state_shown(state)}" for state, number in states.items())
        for name, states in places.items()
    )


def _messages(job: JobReport) -> list[str]:
    """Return what was said of a job and its deliveries, each once."""
    said = [job.message or ""]
    if job.superseded_by is not None:
        said.append(f"job {job.superseded_by}, of a later revision, took its place")
    if job.state == "failed" and job.retry_at is not None:
        said.append(f"tried again at {time_shown(job.retry_at)} UTC")
    said += [d.message for d in job.deliveries if d.message]
    return list(dict.fromkeys(filter(None, said)))


def _ran(job: JobReport) -> str:
    """Return when a job started and finished, or since when it waits."""
    if job.started_at is None:
        return f"since {time_shown(job.created_at)}" if job.state == "queued" else ""
    start, end = time_shown(job.started_at), _end(job.started_at, job.finished_at)
    return f"{start}–{end}"


def _end(start: datetime, end: datetime | None) -> str:
    if end is None or end < start:  # it runs, or runs again
        return ""
    if end.date() != start.date():
        return f"{end:%m-%d %H:%M}"
    return time_shown(end).split()[-1]  # as its start is shown: without seconds where that has a date
