"""What a figure was measured on: without it no figure means anything."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil


def describe() -> dict[str, str]:
    """Return processor, memory, software and commit of this run, and what else kept the machine busy."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "opacity_node": version("opacity-node"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=True)),
        "load_average": f"{psutil.getloadavg()[0]:.1f}",
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.0f}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return found.stdout.strip()
