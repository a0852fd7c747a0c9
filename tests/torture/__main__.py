"""The node under test: ``python -m tests.torture serve --config config.toml`` is `opacity-node serve`, instrumented."""

from node.cli import app
from tests.torture.instruments import instrument

if __name__ == "__main__":
    instrument()
    app(prog_name="opacity-node")
