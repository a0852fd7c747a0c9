"""Studies, jobs and what became of them: ``jobs``."""

from typing import Annotated

import typer

from db.repository import reports
from db.states import JobState
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database
from node.console import as_json, console
from node.job_list import show_jobs


@app.command()
def jobs(
    config: ConfigOption = None,
    state: Annotated[str | None, typer.Option(help="Only jobs of this state.")] = None,
    newest: Annotated[int, typer.Option(help="How many.")] = 50,
    json: JsonOption = False,
) -> None:
    """List jobs, what became of them, and where their results are."""
    if state is not None and state not in list(JobState):
        fail(f"--state {state}: one of {', '.join(JobState)}")
    from node.health import answers

    settings = load_config(config)
    with open_database(settings) as database, database.read() as session:
        found = reports.jobs(session, newest=newest, state=JobState(state) if state else None)
    if json:
        print(as_json(found))  # noqa: T201 - for a script, not for a terminal
    elif found:
        answering = answers(settings) if any(job.state == JobState.RUNNING for job in found) else True
        show_jobs(found, title="jobs, newest first", answering=answering)
    else:
        console.print("no such jobs" if state else "no job was made yet; `opacity-node status` says why")
