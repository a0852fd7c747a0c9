"""Studies that wait for a person: ``resolve``."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from db.repository import holding
from db.repository.holding import HeldStudy, Keep, NothingToResolveError, UndecidedError
from db.states import HoldReason
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database
from node.console import as_json, console

_QUESTIONS = {
    HoldReason.CONFLICT: "Instances came again with other pixels or geometry under the same SOP Instance UID. "
    "--keep first goes on with what came first, --keep newest with what came last; no receipt is deleted.",
    HoldReason.IDENTITY_CONFLICT: "Its instances do not say of one patient that they are theirs. Correct that in the "
    "PACS and send the study again, or go on as it is: results then name the patient of --keep first or newest.",
    HoldReason.MAX_REVISIONS: "It changed again and again after its first results. `resolve` runs it once more; "
    "a higher settle.max_revisions would have let it.",
    HoldReason.SETTLING_FAILED: "A fault of this program; its log tells more. `resolve` tries once more.",
    HoldReason.DATABASE_REBUILT: "The database was made anew from the archive, and results of this study exist that "
    "may have been delivered. `resolve` runs it again and sends new results beside those the PACS may have.",
}


@app.command()
def resolve(
    study: Annotated[str, typer.Argument(help="Study Instance UID of a held study.")],
    keep: Annotated[Keep | None, typer.Option(help="Which of contradicting receipts or identities counts.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Let it go on; without, only show why it is held.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show why a study is held, and with --keep or --yes let it go on."""
    with open_database(load_config(config)) as database:
        try:
            with database.read() as session:
                held = holding.held(session, study)
            if keep is None and not yes:
                _show(held, json=json)
                return
            with database.write() as session:
                reason = holding.resolve(session, study, keep=keep)
        except (NothingToResolveError, UndecidedError) as error:
            fail(str(error))
    console.print(f"study {study} was held ({reason.value}) and goes on; it settles within seconds", markup=False)


def _show(held: HeldStudy, *, json: bool) -> None:
    if json:
        print(as_json(held))  # noqa: T201 - for a script, not for a terminal
        return
    console.print(f"[bold]study {held.study_instance_uid} is held: {held.reason.value}[/]")
    console.print(held.message, markup=False)
    console.print(_QUESTIONS[held.reason], markup=False)
    if held.conflicts:
        console.print(f"{held.conflicts} SOP Instance UIDs have receipts that contradict each other")
    console.print(_identities(held))
    needs_choice = held.conflicts or held.reason is HoldReason.IDENTITY_CONFLICT
    console.print(
        f"To go on: opacity-node resolve {held.study_instance_uid} "
        + ("--keep first, or --keep newest" if needs_choice else "--yes"),
        markup=False,
        soft_wrap=True,
    )


def _identities(held: HeldStudy) -> Table:
    table = Table("Patient ID", "issuer", "birth date", "instances", "first received", "last received (UTC)")
    for count in held.identities:
        identity = count.identity
        table.add_row(
            *(escape(value) or "-" for value in identity.values()),
            str(count.instances),
            f"{count.first_received_at:%Y-%m-%d %H:%M:%S}",
            f"{count.last_received_at:%Y-%m-%d %H:%M:%S}",
        )
    return table
