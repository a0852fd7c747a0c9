"""Destinations that are gone for good: ``give-up``."""

from typing import Annotated

import typer

from db.repository.resending import give_up
from inference.wording import counted
from node.cli.entry import ConfigOption, app, fail, load_config, open_database
from node.console import console


@app.command("give-up")
def give_up_destination(
    destination: Annotated[str, typer.Argument(help="Name of a destination, in config.toml or no more.")],
    config: ConfigOption = None,
) -> None:
    """Send a destination that is gone for good nothing of what waits for it; `resend --to` sends it elsewhere."""
    settings = load_config(config)
    with open_database(settings) as database, database.write() as session:
        given_up = give_up(session, destination)
    if not given_up.unsent and not given_up.unconfirmed:
        fail(f"nothing waits for {destination}; `opacity-node deliveries` shows what goes where")
    lines = []
    if given_up.unsent:
        lines.append(f"{counted(given_up.unsent, 'object')} will not be sent to {destination}")
        lines.append(f"`opacity-node resend --destination {destination} --to NAME` sends what was given up elsewhere")
    if given_up.unconfirmed:
        lines.append(f"{destination} is not asked any more whether it keeps {counted(given_up.unconfirmed, 'object')}")
    if settings.destination(destination) is not None:
        lines.append(f"config.toml still has {destination}: new results go there")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
