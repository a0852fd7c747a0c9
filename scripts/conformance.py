"""Write docs/conformance.md, from the tables that the code works with.

.venv/bin/python scripts/conformance.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from node.conformance import statement

PAGE = Path(__file__).resolve().parents[1] / "docs/conformance.md"

if __name__ == "__main__":
    PAGE.write_text(statement(), encoding="utf-8")
