"""The Dockerfile as its instructions: what tests hold it to without a docker engine."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def logical_lines(file: str) -> list[str]:
    """Return a file's lines without comments, continued ones joined."""
    text = re.sub(r"^\s*#.*\n", "", (REPOSITORY / file).read_text(), flags=re.MULTILINE)
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def stages() -> list[dict[str, list[str]]]:
    """Return the stages in order: what follows each instruction of it."""
    found: list[dict[str, list[str]]] = []
    for line in logical_lines("Dockerfile"):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            found.append({})
        found[-1].setdefault(instruction, []).append(rest)
    return found
