"""The command line: ``opacity-node``. One module for each kind of command; the heavy imports wait for the command."""

from node.cli import (  # noqa: F401 - each registers its commands
    benches,
    deciding,
    deliveries,
    evaluating,
    giving_up,
    holds,
    models,
    offline,
    pipelines,
    retries,
    routes,
    service,
    studies,
    tools,
    training,
    training_boxes,
    training_explain,
)
from node.cli.entry import app

__all__ = ["app"]
