"""Studies that wait for a person: ``resolve``."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from db.repository import holding, resolving
from db.repository.holding import HeldStudy, NothingToResolveError
from db.repository.resolving import Decision, Keep, UndecidedError
from db.states import HoldReason
from inference.wording import counted
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database, study_named
from node.console import as_json, console, uid_shown
from node.receipts import differences

_QUESTIONS = {
    HoldReason.CONFLICT: "Instances came again with other pixels or geometry under the same SOP Instance UID. "
    "--keep first goes on with what came first, --keep newest with what came last; no receipt is deleted.",
    HoldReason.IDENTITY_CONFLICT: "Its instances do not say of one patient that they are theirs. Say whose study it "
    "is: results name that patient, and instances of another are left out. --together takes all of them for that "
    "patient's, where one person has two numbers. What was corrected in the PACS and sent again counts already.",
    HoldReason.MAX_REVISIONS: "It changed again and again after its first results. `resolve` runs it once more; "
    "a higher settle.max_revisions would have let it.",
    HoldReason.SETTLING_FAILED: "A fault of this program; its log tells more. `resolve` tries once more.",
    HoldReason.DATABASE_REBUILT: "The database was made anew from the archive, and results of this study exist that "
    "may have been delivered. `resolve` runs it again and sends new results beside those the PACS may have.",
}


@app.command()
def resolve(
    study: Annotated[str, typer.Argument(help="Study Instance UID of a held study, or its end.")],
    keep: Annotated[Keep | None, typer.Option(help="Which of contradicting receipts counts.")] = None,
    patient: Annotated[int | None, typer.Option(help="Whose study it is: a number of the table.")] = None,
    together: Annotated[bool, typer.Option("--together", help="All instances are of that patient.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Let it go on, where nothing is to be chosen.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show why a study is held, and with --keep, --patient or --yes let it go on."""
    with open_database(load_config(config)) as database:
        try:
            with database.read() as session:
                study = study_named(session, study)
                held = holding.held(session, study)
                uids = dict.fromkeys(receipt.sop_instance_uid for receipt in held.conflicting)
                differ = list(chain.from_iterable(differences(holding.receipts(session, uid)) for uid in uids))
            if keep is None and patient is None and not yes:
                _show(held, differ, json=json)
                return
            with database.write() as session:
                decision = Decision(keep=keep, patient=patient, together=together)
                reason = resolving.resolve(session, study, decision)
        except (NothingToResolveError, UndecidedError) as error:
            fail(str(error))
    console.print(f"study {study} was held ({reason.value}) and goes on; it settles within seconds", markup=False)


def _show(held: HeldStudy, differ: Sequence[str], *, json: bool) -> None:
    """Print it; `differ` says of each of its contradicting receipts in what it differs."""
    if json:
        shown = asdict(held)
        for receipt, text in zip(shown["conflicting"], differ, strict=True):
            receipt["differs_in"] = text
        print(as_json(shown))  # noqa: T201 - for a script, not for a terminal
        return
    console.print(f"[bold]study {held.study_instance_uid} is held: {held.reason.value}[/]")
    console.print(held.message, markup=False)
    console.print(_QUESTIONS[held.reason], markup=False)
    if held.conflicting:
        console.print(_receipts(held, differ))
    if held.disagree or held.reason is HoldReason.IDENTITY_CONFLICT:
        console.print(_identities(held))
    choices = ["--keep first|newest"] * bool(held.conflicting) + ["--patient N [--together]"] * held.disagree
    console.print(
        f"To go on: opacity-node resolve {held.study_instance_uid} {' '.join(choices) or '--yes'}",
        markup=False,
        soft_wrap=True,
    )


def _receipts(held: HeldStudy, differ: Sequence[str]) -> Table:
    table = Table("instance, series", "--keep", "received (UTC), from", title=counted(held.conflicts, "conflict"))
    table.add_column("what differs", ratio=1)
    table.expand = True
    uids = [receipt.sop_instance_uid for receipt in held.conflicting]
    for number, (receipt, text) in enumerate(zip(held.conflicting, differ, strict=True)):
        uid = receipt.sop_instance_uid
        first, last = number == uids.index(uid), uid not in uids[number + 1 :]
        table.add_row(
            f"{uid_shown(uid)}\n{escape(receipt.series)}",
            ("first" if first else "newest" if last else "-") + "\n[dim]counts now[/]" * receipt.current,
            f"{receipt.received_at:%m-%d %H:%M:%S.%f}"[:-3] + f"\n{escape(receipt.calling_ae_title)}",
            escape(text),
            end_section=last,
        )
    return table


def _identities(held: HeldStudy) -> Table:
    table = Table("", title="whose they say they are")
    for title in ("Patient ID", "issuer", "birth date", "instances", "series", "received (UTC)", "from"):
        table.add_column(title, overflow="fold")
    for number, count in enumerate(held.identities, start=1):
        table.add_row(
            str(number),
            *(escape(value) or "-" for value in count.identity.values()),
            str(count.instances),
            escape(", ".join(count.series)),
            f"{count.first_received_at:%m-%d %H:%M:%S}",
            escape(", ".join(count.calling_ae_titles)),
        )
    return table
