"""Jobs that gave up and are to run again: ``retry``."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from db.repository import reruns
from db.states import JobState
from node.cli.entry import ConfigOption, app, fail, load_config, open_database
from node.console import console, errors

_GAVE_UP = (JobState.FAILED, JobState.QUARANTINED)


@app.command()
def retry(
    jobs: Annotated[
        list[int] | None, typer.Argument(help="Numbers of jobs, as `opacity-node jobs` shows them.", show_default=False)
    ] = None,
    state: Annotated[str | None, typer.Option("--state", help="All jobs that are failed, or quarantined.")] = None,
    config: ConfigOption = None,
) -> None:
    """Run jobs again that failed, were quarantined, or (by number) were refused."""
    chosen = _state(state)
    if bool(jobs) == (chosen is not None):
        fail("say which jobs: their numbers, or --state failed, or --state quarantined")
    with open_database(load_config(config)) as database, database.write() as session:
        wanted = sorted(set(jobs or ())) if chosen is None else reruns.ended(session, chosen)
        kept = {number: why for number in wanted if (why := reruns.why_not(session, number))}
        ready = [number for number in wanted if number not in kept]
        reruns.requeue(session, ready, now=datetime.now(UTC))
    for number, why in kept.items():
        errors.print(f"job {number} is not run again: {why}", markup=False, highlight=False, soft_wrap=True)
    if not ready:
        fail("nothing to run again; `opacity-node jobs` lists what there is")
    numbers = ", ".join(map(str, ready))
    console.print(
        f"job {numbers} is queued again" if len(ready) == 1 else f"{len(ready)} jobs are queued again: {numbers}",
        highlight=False,
        soft_wrap=True,
    )
    console.print("A running node begins within 5 s; `opacity-node jobs` shows how it goes.")


def _state(state: str | None) -> JobState | None:
    if state is not None and state not in _GAVE_UP:
        fail(f"--state {state}: one of {', '.join(_GAVE_UP)}")
    return JobState(state) if state else None
