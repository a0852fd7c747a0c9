"""What the demo shows: every study, what was found, how long it took, and whether all is well."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from db.repository.reports import JobReport
from db.states import HoldReason
from inference.wording import counted
from node.console import console, findings_table, uid_shown
from node.demo.observation import Observation
from node.study_screen import show_study

SYNTHETIC = "sent"
"""Folder of the synthetic studies within the demo's."""

_COLOURS = {"refused": "yellow"}
_COLUMNS = 3


def show(observed: Observation, summary: dict[str, Any], out: Path, pictures: list[Path]) -> None:
    """Print what came out.

    Parameters
    ----------
    observed : Observation
        What was seen.
    summary : dict
        As in ``summary.json``.
    out : Path
        Where everything lies.
    pictures : list of Path
        Key images.
    """
    for study in observed.studies:
        show_study(study)
        console.print()
    for job in observed.jobs:
        _show_job(job)
    console.print(_times(summary))
    for message, number in observed.sent.failures.items():
        console.print(f"[red]{number} × {escape(message)}[/]")
    if any(study.hold_reason == HoldReason.CONFLICT for study in observed.studies):
        for paths in observed.repeated:
            console.print(_contradiction(paths), highlight=False)
    console.print(_verdict(observed))
    console.print(f"objects: {out / 'pacs'}", highlight=False)
    for picture in pictures:
        console.print(f"picture: {picture}", highlight=False)
    if (out / SYNTHETIC).is_dir():
        again = f"opacity-node send {out / SYNTHETIC} --to HOST:PORT --aet AE_TITLE"
        console.print(
            f"synthetic studies: {out / SYNTHETIC}; send them elsewhere with `{again}`", highlight=False, soft_wrap=True
        )
    console.print("[bold]Research use only. Not a medical device.[/]")


def _show_job(job: JobReport) -> None:
    if job.state != "succeeded":
        colour = _COLOURS.get(job.state, "red")
        console.print(f"[{colour}]{job.pipeline} {job.state}[/] ({escape(job.stack)}): {escape(job.message or '')}")
        return
    table = findings_table(job.summary)
    table.caption = escape(job.stack)
    console.print(table)
    for warning in job.summary["warnings"]:
        console.print(f"[yellow]![/] {escape(warning)}")


def _times(summary: dict[str, Any]) -> Table:
    """Return seconds: a column for what is of all studies, and one for each; of many their sum."""
    studies = summary["studies"]
    columns = [("all", summary["stages"]), *((_heading(study), study["stages"]) for study in studies)]
    if len(studies) > _COLUMNS:
        names = list(dict.fromkeys(name for study in studies for name in study["stages"]))
        total = {name: sum(study["stages"].get(name, 0.0) for study in studies) for name in names}
        columns[1:] = [(f"sum of {len(studies)} studies", total)]
    table = Table("stage", *(heading for heading, _ in columns), title="seconds")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(name for _, stages in columns for name in stages):
        table.add_row(name, *(f"{stages[name]:.2f}" if name in stages else "" for _, stages in columns))
    return table


def _heading(study: dict[str, Any]) -> str:
    """Name a study by its UID's end, as `status` takes it, and by what ran."""
    ran = ", ".join(study["pipelines"]) or ("held" if study["state"] == "held" else "nothing ran")
    return f"{uid_shown(study['study_instance_uid'])}\n{ran}"


def _contradiction(paths: list[Path]) -> str:
    """Name the files that may hold a study, as the node, which takes no side, cannot."""
    names = ", ".join(path.name for path in paths)
    return (
        f"[yellow]! {escape(names)} are versions of one image (of one SOP Instance UID). Where they contradict each "
        f"other the node keeps all and waits for a person; send one of them alone to see it run.[/]"
    )


def _verdict(observed: Observation) -> str:
    """Return the last line: green, yellow where something was refused, held or not run, red where it failed."""
    text = (
        f"{counted(observed.files, 'file')} sent, {observed.kept} of {observed.instances} instances kept, "
        f"{observed.delivered} of {observed.objects} result objects delivered"
    )
    if not observed.complete:
        return f"[red]{text}; something was lost or failed: see above and the node's log[/]"
    if observed.fruitful:
        return f"[green]{text}[/]"
    without = sum(not any(job.state == "succeeded" for job in study.jobs) for study in observed.studies)
    if without:
        of_all = counted(len(observed.studies), "study", "studies")
        text += f"; {without} of {of_all} without a result, for the reason above"
    return f"[yellow]{text}[/]"
