"""What every command shares: the program, its common options, its way to fail, its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from typer.core import TyperGroup

from db.files import Storage
from db.repository import reports
from db.session import Database
from node import config as config_file
from node.config import Config, ConfigError
from node.console import errors

_FIRST = (
    *("demo", "serve", "check-config", "config", "status", "route", "jobs", "deliveries", "send", "run"),
    *("evaluate", "train"),
    *("pipelines", "models"),
)


class _InOrderOfNeed(TyperGroup):
    """Lists first what a newcomer needs first."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own type is not public
        names = super().list_commands(ctx)
        return [*(name for name in _FIRST if name in names), *(name for name in names if name not in _FIRST)]


app = typer.Typer(
    cls=_InOrderOfNeed,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A DICOM node that puts lung AI behind a PACS. Research use only.",
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="config.toml; by default the one of this folder, else built in.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def fail(message: str) -> NoReturn:
    """End with status 2 and a message that says what to do."""
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def load_config(path: Path | None) -> Config:
    """Return the settings, or end saying what is wrong with them."""
    try:
        return config_file.load(path)
    except ConfigError as error:
        fail(str(error))


def study_named(session: Session, given: str) -> str:
    """Return the whole Study Instance UID of what a person gave: all of it, or its end as tables show it."""
    ending = given.strip().lstrip("…").lstrip(".")
    found = reports.matching(session, ending) if ending else []
    if not found:
        fail(f"the node holds no study whose UID is or ends in {given}; `opacity-node status` lists the newest")
    if len(found) > 1:
        fail(f"more than one study ends in {given}; give more of its UID")
    return found[0]


@contextmanager
def open_database(config: Config) -> Iterator[Database]:
    """Open the node's database, which may be in use by a running node, or end saying why it cannot be."""
    storage = Storage(config.storage.path)
    if not storage.database.is_file():
        fail(f"there is no database in {storage.root}; start the node with `opacity-node serve`")
    database = Database(f"sqlite:///{storage.database}")
    try:
        yield database
    except DatabaseError as error:
        fail(f"the database in {storage.root} cannot be used: {error.orig}. Is its folder readable by you?")
    finally:
        database.close()
