"""The command line: ``opacity-node``. One module for each kind of command; the heavy imports wait for the command."""

from node.cli import benches, deliveries, giving_up, holds, models, offline, retries, routes, service, studies, tools  # noqa: F401 - each registers its commands
from node.cli.entry import app

__all__ = ["app"]
