"""What the comparison came to, for `make parity` to write down."""

import json
from pathlib import Path
from typing import Any

from node.bench.machine import describe


class Evidence:
    """Collects; `write` makes a file of it, in the order in which it came."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def add(self, section: str, name: str, facts: Any) -> None:
        self.found.setdefault(section, {})[name] = facts

    def write(self, path: Path) -> None:
        report = {"machine": describe(), "package": "balaitous 1.2", **self.found}
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def rounded(differences: dict[str, float]) -> dict[str, float]:
    """Return differences with the digits that mean something."""
    return {step: float(f"{far:.2g}") for step, far in differences.items()}
