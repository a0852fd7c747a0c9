"""Make a database, and bring one to the schema of this version, with alembic."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy.orm import Session

from db.files import sync_folder
from db.session import DATABASE_SUFFIXES, Database


class SchemaError(Exception):
    """The database's schema is not one that this version knows."""


def upgrade(database: Database) -> None:
    """Apply every migration that the database does not have yet, in one transaction.

    Raises
    ------
    SchemaError
        If a later version of the program made it.
    """
    # Here, because every command would wait for it, and a node that is to listen.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    database.make_file()
    with database.engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise SchemaError(
                "the database was made by a later version of opacity-node; install that version, "
                "or restore the database of this one"
            ) from error


def create(path: Path, fill: Callable[[Session], None]) -> None:
    """Make a database that appears under its name only when it is whole, with its first rows."""
    unfinished = path.with_name(path.name + ".new")
    for suffix in DATABASE_SUFFIXES:
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    database = Database(f"sqlite:///{unfinished}")
    try:
        upgrade(database)
        with database.write() as session:
            fill(session)
    finally:
        database.close()
    unfinished.rename(path)
    sync_folder(path.parent)
