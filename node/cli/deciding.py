"""Settled studies that other rules are to decide: ``decide``."""

from typing import Annotated

import typer

from db.repository import deciding
from node.cli.entry import ConfigOption, app, fail, load_config, open_database, study_named
from node.console import console


@app.command()
def decide(
    study: Annotated[str, typer.Argument(help="Study Instance UID of a settled study, or its end.")],
    config: ConfigOption = None,
) -> None:
    """Decide a settled study again, by the rules that the node has now; what newly runs is queued."""
    with open_database(load_config(config)) as database, database.write() as session:
        study = study_named(session, study)
        why = deciding.why_not(session, study)
        if why is None:
            deciding.ask(session, study)
    if why is not None:
        fail(f"study {study} is not decided again: {why}")
    console.print(
        f"study {study} is decided again; what ran already with the same pipeline does not run again\n"
        "A running node begins within 5 s, by the rules that it last read: after a change of config.toml send it "
        f"SIGHUP first. `opacity-node status {study}` shows what it decided.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
