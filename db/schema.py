"""Bring a database to the schema of this version, with alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from db.session import Database


def upgrade(database: Database) -> None:
    """Apply every migration that the database does not have yet, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
