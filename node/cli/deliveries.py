"""Where results went, and sending them again: ``deliveries``, ``resend``."""

import functools
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from db.repository.resending import Choice, DeliveryLine, Resending, Resent, listed
from db.states import DeliveryState
from inference.wording import counted
from node import wanted
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database, study_named
from node.config import Config
from node.console import Footnotes, as_json, console, listing, state_shown, uid_shown

StateOption = Annotated[str | None, typer.Option("--state", help="Only deliveries of this state.")]
DestinationOption = Annotated[str | None, typer.Option("--destination", help="Only deliveries to this destination.")]


@app.command()
def deliveries(
    state: StateOption = None,
    destination: DestinationOption = None,
    study: Annotated[str | None, typer.Option("--study", help="Study Instance UID or its end.")] = None,
    newest: Annotated[int, typer.Option(help="How many.", min=1)] = 50,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List result objects, where they go, and what the destinations answered.

    What the settings of a destination leave out is listed with `--state unwanted` alone.
    """
    settings = load_config(config)
    chosen = _state(state)
    with open_database(settings) as database, database.read() as session:
        whole = None if study is None else study_named(session, study)
        choice = Choice(study_instance_uid=whole, destination=destination, state=chosen)
        found = listed(session, choice, newest=newest)
    if json:
        print(as_json(found))  # noqa: T201 - for a script, not for a terminal
    elif found:
        _show(found, now=datetime.now(UTC))
    else:
        console.print("no such deliveries" if choice != Choice() else "nothing was to be delivered yet")


@app.command()
def resend(
    study: Annotated[str | None, typer.Argument(help="Study Instance UID or its end.")] = None,
    job: Annotated[int | None, typer.Option("--job", help="Number of a job, as `opacity-node jobs` shows it.")] = None,
    destination: DestinationOption = None,
    state: StateOption = None,
    to: Annotated[str | None, typer.Option("--to", help="Another destination that is to get them too.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Send results again, as they are: of a study, a job, or all to one destination."""
    if study is None and job is None and destination is None:
        fail("say what to send again: a Study Instance UID, --job N or --destination NAME")
    settings = load_config(config)
    chosen = _state(state)
    if to is not None and settings.destination(to) is None:
        names = ", ".join(d.name for d in settings.destinations) or "none"
        fail(f"--to {to}: config.toml has no such destination; there are: {names}")
    with open_database(settings) as database:
        with database.read() as session:
            whole = None if study is None else study_named(session, study)
        choice = Choice(study_instance_uid=whole, job_id=job, destination=destination, state=chosen)
        wants = functools.partial(wanted.wants, settings)
        resending = Resending(choice, now=datetime.now(UTC), to=to, wants=wants)
        more = True
        while more:
            with database.write() as session:
                more = resending.step(session)
    resent = resending.resent
    if not resent.total:
        fail(_nothing(resent))
    if json:
        print(as_json(resent))  # noqa: T201 - for a script, not for a terminal
    else:
        _say(resent, settings)


def _show(lines: list[DeliveryLine], *, now: datetime) -> None:
    """Print deliveries as a table; what was answered, which is long and often the same, stands below it."""
    notes = Footnotes()
    columns = ("object", "study", "job", "destination", "state", "tries", "next", "note")
    table = listing("deliveries, newest first", *columns, right=("job", "tries"))
    for line in lines:
        table.add_row(
            escape(line.kind),
            uid_shown(line.study_instance_uid),
            str(line.job_id),
            escape(line.destination),
            state_shown(line.state),
            str(line.attempts),
            _until(line.next_attempt_at or line.ask_again_at, now),
            " ".join(filter(None, (notes.number(line.message), notes.number(_asked(line))))),
        )
    console.print(table)
    console.print(notes.table())


def _say(resent: Resent, config: Config) -> None:
    for title, numbers in (
        ("{are} sent again to", resent.again),
        ("that waited {are} sent now to", resent.sooner),
        ("{are} sent also to", resent.added),
    ):
        for name, number in sorted(numbers.items()):
            place = config.destination(name)
            where = f"{place.ae_title} at {place.host}:{place.port}" if place else "which config.toml does not have"
            how = title.format(are="is" if number == 1 else "are")
            console.print(
                f"{counted(number, 'object')} {how} {name} ({where})", markup=False, highlight=False, soft_wrap=True
            )
    if resent.cancelled:
        console.print(f"{resent.cancelled} stay cancelled: results of a later revision took their place")
    if resent.unwanted:
        console.print(f"{resent.unwanted} not sent: `objects` and `maps` of the destination leave them out")
    if resent.given_up:
        console.print(f"{resent.given_up} stay given up: `--to NAME` sends them, to the same or another destination")
    for uid in resent.corrected:
        console.print(
            f"[yellow]images of study {uid} came with a corrected patient since: these results name the earlier one[/]",
            soft_wrap=True,
        )
    for uid in resent.held:
        console.print(f"study {uid} is held and sends nothing until `opacity-node resolve {uid}`", soft_wrap=True)
    console.print("A running node begins within 5 s; `opacity-node deliveries` shows how it goes.")


def _nothing(resent: Resent) -> str:
    if resent.given_up:
        return (
            f"nothing to send: {counted(resent.given_up, 'object')} given up by a person; "
            "`--to NAME` sends them, to the same or another destination"
        )
    if resent.cancelled:
        cancelled = counted(resent.cancelled, "cancelled object")
        return f"nothing to send: {cancelled}, results of a later revision took their place"
    if resent.unwanted:
        left_out = counted(resent.unwanted, "object")
        return f"nothing to send: {left_out} that `objects` and `maps` of the destination leave out"
    return "nothing to send: no delivery fits; `opacity-node deliveries` lists them"


def _state(state: str | None) -> DeliveryState | None:
    if state is not None and state not in list(DeliveryState):
        fail(f"--state {state}: one of {', '.join(DeliveryState)}")
    return DeliveryState(state) if state else None


def _asked(line: DeliveryLine) -> str:
    """Say that the peer was asked to commit itself, and until when its report is waited for."""
    if line.ask_again_at is None:
        return ""
    return f"storage commitment asked; without a report it is asked again at {line.ask_again_at:%Y-%m-%d %H:%M} UTC"


def _until(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    seconds = int((at - now).total_seconds())
    if seconds <= 0:
        return "now"
    return f"in {seconds} s" if seconds < 120 else f"in {seconds // 60} min"
