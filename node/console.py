"""What the command line shows: tables for people, JSON for scripts."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from db.repository.reports import JobReport, StudyReport
from node.health import Health
from node.problems import Severity
from node.retention import RetentionReport
from node.rules import Rule, asks

console = Console()
errors = Console(stderr=True)

_COLOURS = {
    "succeeded": "green",
    "settled": "green",
    "sent": "green",
    "committed": "green",
    "running": "cyan",
    "receiving": "cyan",
    "failed": "red",
    "quarantined": "red",
    "held": "yellow",
    "refused": "yellow",
    "unsupported": "yellow",
}


def progress() -> Progress:
    """Return a progress bar for counted work."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=errors
    )


def as_json(value: Any) -> str:  # noqa: ANN401 - any record
    """Return a record as JSON; times are ISO 8601 in UTC."""
    plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(plain, default=_plain, indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any record
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def show_health(health: Health) -> None:
    """Print a node's health and its newest studies with every decision."""
    colour = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}[health.severity]
    console.print(f"[bold {colour}]{health.severity.name}[/]", end="  ")
    console.print(
        f"{'answering' if health.answering else 'not answering'} · {health.spooled} files in the spool · "
        f"{health.disk_free_gb:.1f} GB free"
    )
    for problem in health.problems:
        console.print(f"  [yellow]![/] {escape(problem.message)}")
    if health.counts:
        for title, numbers in (
            ("studies", health.counts.studies),
            ("jobs", health.counts.jobs),
            ("deliveries", health.counts.deliveries),
        ):
            console.print(f"{title}: " + (", ".join(f"{n} {_state(s)}" for s, n in numbers.items()) or "none"))
    if health.retention:
        console.print(_retention(health.retention), highlight=False)
    for study in health.studies:
        console.print(study_table(study))


def _retention(report: RetentionReport) -> str:
    """Return what is held, what goes next and what went last, in one line."""
    parts = [f"images: {report.held_instances}, {report.held_bytes / 1e9:.1f} GB at {report.at:%H:%M} UTC"]
    parts.append(f"kept {report.inputs_days:g} days" if report.inputs_days else "kept for ever")
    if report.next_at:
        parts.append(f"next go {report.next_at:%Y-%m-%d}")
    if report.kept_longer:
        parts.append(f"studies kept longer: {report.kept_longer} (held, failed, or results not delivered)")
    if report.removed_at:
        parts.append(f"{report.removed_instances} went {report.removed_at:%Y-%m-%d}")
    return " · ".join(parts)


def study_table(study: StudyReport) -> Table:
    """Return a study as a table: each stack, whether it ran, and why."""
    title = f"study {study.study_instance_uid} · {_state(study.state)} · {study.instances} instances"
    if study.hold_reason:
        title += f" · held ({study.hold_reason}): {escape(study.hold_message or '')}; see `opacity-node resolve`"
    table = Table(title=title, title_justify="left", expand=True)
    table.add_column("stack", ratio=3)
    table.add_column("instances", justify="right")
    table.add_column("pipeline")
    table.add_column("decision", ratio=4)
    for decision in study.decisions:
        runs = "[green]runs[/]" if decision.runs else "[dim]does not run[/]"
        table.add_row(
            escape(decision.stack), str(decision.instances), decision.pipeline, f"{runs}: {escape(decision.reason)}"
        )
    if not study.decisions:
        table.add_row("[dim]nothing decided yet[/]" if study.revision == 0 else "[dim]no rule applies[/]", "", "", "")
    return table


def show_rule(rule: Rule) -> None:
    """Print what a rule asks and does."""
    lines = (
        ("when", "; ".join(asks(rule.conditions)) or "always"),
        (
            "runs",
            f"{', '.join(rule.pipelines)} on {'the best stack' if rule.stacks == 'best' else 'every stack'} that fits",
        ),
        ("results to", (", ".join(rule.destinations) or "nobody") + ("; notices too" if rule.notices else "")),
        ("priority", f"{rule.priority}" + (f" · quiet time {rule.quiet_s:g} s" if rule.quiet_s else "")),
    )
    console.print(f"rule [bold]{escape(rule.name)}[/]", highlight=False)
    table = Table.grid(padding=(0, 2))
    for title, text in lines:
        table.add_row(f"  [dim]{title}[/]", escape(text))
    console.print(table)


def jobs_table(jobs: list[JobReport]) -> Table:
    """Return jobs as a table."""
    table = Table("job", "pipeline", "stack", "state", "attempts", "deliveries", "message", title="jobs")
    for job in jobs:
        delivered = ", ".join(
            f"{d.kind} → {d.destination} {_state(d.state)}" + (f" ({escape(d.message)})" if d.message else "")
            for d in job.deliveries
        )
        table.add_row(
            str(job.id),
            f"{job.pipeline} {job.pipeline_version}",
            escape(job.stack),
            _state(job.state),
            str(job.attempts),
            delivered,
            escape(job.message or ""),
        )
    return table


def findings_table(summary: dict[str, Any]) -> Table:
    """Return what one job found as a table."""
    algorithm = summary["algorithm"]
    table = Table("where", "what", "value", title=f"{algorithm['name']} {algorithm['version']} · research use only")
    table.columns[2].justify = "right"
    for measurement in summary["measurements"]:
        table.add_row("both lungs", escape(measurement["name"]), _number(measurement))
    for region in summary["regions"]:
        for measurement in region["measurements"]:
            table.add_row(escape(region["label"]), escape(measurement["name"]), _number(measurement))
    return table


def _number(measurement: dict[str, Any]) -> str:
    return f"{measurement['value']:.1f} {escape(measurement['unit'])}"


def _state(state: str) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state
