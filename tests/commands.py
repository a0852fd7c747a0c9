"""`opacity-node`'s commands, called in this process: a process of its own would import for a second and a half."""

from click.testing import Result
from typer.testing import CliRunner

from node.cli import app


def opacity_node(*arguments: object) -> Result:
    """Call a command; what it did not foresee is raised."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
