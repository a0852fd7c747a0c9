"""What ``status`` shows: how the node is, and the newest studies, a line each and one for what became of it."""

from datetime import UTC, datetime
from itertools import chain
from textwrap import shorten

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from db.repository.reports import DecisionReport, JobReport, StudyReport
from inference.wording import counted
from node.console import console, hanging, state_shown, uid_shown
from node.health import Health
from node.job_list import deliveries_shown
from node.problems import Severity
from node.refused import RefusedReport
from node.retention import RetentionReport
from node.routing import EXCLUDED

_REASON = 120
"""Characters, two lines of a narrow terminal; `status STUDY` has the whole."""
_WIDTHS = (11, 12, 9, 6)
"""Of a study's columns before its deliveries."""
_COLOURS = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}


def show_health(health: Health, *, inputs_days: float) -> None:
    """Print a node's health and its newest studies.

    Parameters
    ----------
    health : Health
        What was found.
    inputs_days : float
        How long images are kept, as the configuration in force says; 0 for ever.
    """
    console.print(f"[bold {_COLOURS[health.severity]}]{health.severity.name}[/]", end="  ")
    console.print(
        f"{'answering' if health.answering else 'not answering'} · {counted(health.spooled, 'file')} in the spool · "
        f"{health.disk_free_gb:.1f} GB free"
    )
    for problem in health.problems:
        console.print(hanging(2, f"[{_COLOURS[problem.severity]}]![/]", problem.message))
    for message in health.failing:
        console.print(hanging(2, "[yellow]![/]", message))
    if health.counts:
        for title, numbers in (
            ("studies", health.counts.studies),
            ("jobs", health.counts.jobs),
            ("deliveries", health.counts.deliveries),
        ):
            console.print(f"{title}: " + (", ".join(f"{n} {state_shown(s)}" for s, n in numbers.items()) or "none"))
    if health.refused and health.refused.counts:
        console.print(_refused(health.refused), highlight=False)
    if health.retention:
        came_since = any(study.last_received_at > health.retention.at for study in health.studies)
        console.print(_retention(health.retention, inputs_days, came_since=came_since), highlight=False)
    if health.studies:
        _show_studies(health.studies)


def _retention(report: RetentionReport, inputs_days: float, *, came_since: bool) -> str:
    """Return what is held, what goes next and what went last, in one line."""
    held = f"images: {report.held_instances}, {report.held_bytes / 1e9:.1f} GB as of the last pass"
    if came_since and not report.held_instances:
        held = "images: not counted yet; the last pass, one an hour, was"
    parts = [f"{held} at {report.at:%H:%M} UTC"]
    parts.append(f"kept {inputs_days:g} {'day' if inputs_days == 1 else 'days'}" if inputs_days else "kept for ever")
    if report.next_at and inputs_days == report.inputs_days:
        parts.append(f"next go {report.next_at:%Y-%m-%d}")
    if report.kept_longer:
        parts.append(f"studies kept longer: {report.kept_longer} (held, failed, or results not delivered)")
    if report.removed_at:
        parts.append(f"{report.removed_instances} went {report.removed_at:%Y-%m-%d}")
    return " · ".join(parts)


def _refused(report: RefusedReport) -> str:
    counts = ", ".join(f"{number} {reason}" for reason, number in report.counts.items())
    return f"refused since {report.since:%Y-%m-%d %H:%M} UTC: {counts}; the log says whom"


def _show_studies(studies: list[StudyReport]) -> None:
    console.print("\n[italic]newest studies, and what ran, or why not[/]")
    console.print(_row("received", "study", "state", "images", "deliveries"), style="bold")
    for study in studies:
        row = _row(
            f"{study.last_received_at.astimezone(UTC):%m-%d %H:%M}",
            uid_shown(study.study_instance_uid),
            state_shown(study.state),
            str(study.instances),
            deliveries_shown(chain.from_iterable(job.deliveries for job in study.jobs)),
        )
        console.print(row)
        console.print(Padding(what_happened(study), (0, 0, 0, _WIDTHS[0] + 1)), highlight=False)
    console.print(
        "[dim]One of them: `opacity-node status STUDY`; the end of the UID as shown is enough.[/]", highlight=False
    )


def _row(*cells: str) -> Table:
    """Return a line of the list: not of one table, as what happened to a study takes the whole width below it."""
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    for width in _WIDTHS:
        grid.add_column(width=width, no_wrap=True)
    grid.columns[3].justify = "right"
    grid.add_column(ratio=1, overflow="fold")
    grid.add_row(*cells)
    return grid


def what_happened(study: StudyReport) -> str:
    """Return what ran on a study, or why nothing did, in one line."""
    if study.state == "held":
        return f"[yellow]held ({study.hold_reason}): `opacity-node resolve`[/]"
    parts = [_ran(job) for job in reversed(study.jobs) if job.superseded_by is None and job.state != "cancelled"]
    if parts:
        return " · ".join(parts)
    if study.revision == 0:
        return "[dim]not complete yet[/]"
    reason = next((d.reason for d in told(study.decisions) if not d.runs), "no rule applies")
    return f"nothing: {escape(shorten(reason, _REASON, placeholder=' …'))}"


def _ran(job: JobReport) -> str:
    text = f"{job.pipeline} {state_shown(job.state)}"
    if job.state == "failed" and job.retry_at and job.retry_at > datetime.now(UTC):
        text += f", again at {job.retry_at:%H:%M:%S}"
    return text + (f": {escape(job.message)}" if job.message and job.state != "succeeded" else "")


def told(decisions: list[DecisionReport]) -> list[DecisionReport]:
    """Leave out that a rule does not ask for a stack which runs by another rule, or of which another rule says more."""
    others = {(d.stack, d.pipeline) for d in decisions if d.code != EXCLUDED}
    return [d for d in decisions if d.code != EXCLUDED or (d.stack, d.pipeline) not in others]
