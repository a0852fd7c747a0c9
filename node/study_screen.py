"""What ``status STUDY`` shows: all that happened to one study, in the order of time."""

from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from db.repository.reports import Receipts, RevisionReport, StudyReport
from inference.wording import counted
from node.console import console, fields_shown, hanging, listing, state_shown
from node.job_list import show_jobs
from node.overview import told

_SETTLED = {
    "quiet": "nothing more came for the quiet time",
    "max-wait": "max-wait: it did not fall quiet within settle.max_wait_s",
}


def show_study(study: StudyReport) -> None:
    """Print what came, when it was complete and why, what was decided, what ran, and where the results are."""
    console.print(
        f"[bold]study {study.study_instance_uid}[/]  {state_shown(study.state)}", highlight=False, soft_wrap=True
    )
    lines = [("received", _received(receipts)) for receipts in study.receipts]
    if not lines:
        lines = [("received", _period(study.first_received_at, study.last_received_at))]
    lines += [("complete", _settled(revision)) for revision in study.revisions]
    if not study.revisions:
        lines.append(("complete", "not yet"))
    lines.append(("holds", _holds(study)))
    console.print(fields_shown(tuple(lines)))
    if study.state == "held":
        held = f"held ({study.hold_reason}): {study.hold_message or ''}; see `opacity-node resolve`"
        console.print(hanging(2, "[yellow]![/]", held))
    console.print()
    console.print(decisions_table(study) if study.decisions else f"  {_undecided(study)}")
    if study.jobs:
        console.print()
        show_jobs(study.jobs, title="jobs", with_study=False)


def decisions_table(study: StudyReport) -> Table:
    """Return what was decided about each stack of the newest revision, by which rule, and why."""
    when = f", made {study.decided_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if study.decided_at else ""
    table = listing(
        f"decisions of revision {study.revision}{when}" if study.revision else "decisions",
        *("stack", "images", "rule", "pipeline", "decision"),
        right=("images",),
    )
    for column in table.columns:
        if column.header in {"stack", "decision"}:
            column.no_wrap, column.ratio = False, 2 if column.header == "decision" else 1
    table.expand = True
    for decision in told(study.decisions):
        runs = "[green]runs[/]" if decision.runs else "[dim]does not run[/]"
        table.add_row(
            escape(decision.stack),
            str(decision.instances),
            escape(decision.rule),
            decision.pipeline,
            f"{runs}: {escape(decision.reason)}",
        )
    return table


def _undecided(study: StudyReport) -> str:
    if study.revision:
        return "No rule applies to what it holds: nothing runs."
    until = "a person has resolved why it is held" if study.state == "held" else "the study is complete"
    return f"What runs is not decided before {until}."


def _received(receipts: Receipts) -> str:
    period = _period(receipts.first_received_at, receipts.last_received_at)
    peers = f"from {receipts.calling_ae_title or '?'} (to {receipts.called_ae_title or '?'})"
    return f"{period}, {counted(receipts.instances, 'object')} {peers}"


def _period(began: datetime, ended: datetime) -> str:
    first, last = began.astimezone(UTC), ended.astimezone(UTC)
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC"


def _settled(revision: RevisionReport) -> str:
    why = _SETTLED.get(revision.reason, revision.reason)
    return f"{revision.settled_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, revision {revision.number}: {why}"


def _holds(study: StudyReport) -> str:
    parts = [counted(study.instances, "image")]
    receipts = study.receipts
    for number, one, many in (
        (
            sum(r.updates for r in receipts),
            "earlier receipt that an update replaced",
            "earlier receipts, since updated",
        ),
        (sum(r.conflicts for r in receipts), "receipt in conflict", "receipts in conflict"),
        (sum(r.own_results for r in receipts), "result of ours that came back", "results of ours that came back"),
        (sum(r.removed for r in receipts), "file removed by retention", "files removed by retention"),
    ):
        if number:
            parts.append(counted(number, one, many))
    return ", ".join(parts)
