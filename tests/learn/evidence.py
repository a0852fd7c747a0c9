"""What the proofs of wiring measured: one section for each, in one file.

`make learn` trains for minutes and writes docs/evidence/learn.json; `make test` trains for seconds and writes nothing.
A test calls `write` with its section; sections of others stay as they are.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.bench import machine
from node.console import as_json

EVIDENCE = os.environ.get("LEARN_EVIDENCE")
"""The file of the full run; without it the run is the small one."""

FULL = EVIDENCE is not None


def write(section: str, measured: Mapping[str, Any]) -> None:
    """Put a section into the evidence, with the machine and the commit that it was measured on."""
    if EVIDENCE is None:
        return
    path = Path(EVIDENCE)
    sections = json.loads(path.read_text()) if path.exists() else {}
    sections[section] = {"machine": machine.describe(), **measured}
    path.write_text(as_json(dict(sorted(sections.items()))) + "\n")
