"""A command for which everything but some folders is read-only, as `docker run --read-only` has it."""

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_PREPARE = """\
set -e
for folder in $WRITABLE; do mount --bind "$folder" "$folder"; done
mount -o remount,bind,ro /
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
"""


def read_only(command: Sequence[str | Path], *, writable: Sequence[Path]) -> tuple[list[str], dict[str, str]]:
    """Return the command in a mount namespace of its own, without capabilities, and its environment.

    ``/proc``, ``/dev`` and ``/dev/shm`` stay as they are: a container has its own of them.

    Parameters
    ----------
    command : sequence of str or Path
        What runs; its process is the one that is started.
    writable : sequence of Path
        Folders that it may write to, without a space in their paths.
    """
    if refusal := _refused():
        if os.environ.get("REQUIRE_PEERS") == "1":
            pytest.fail(f"REQUIRE_PEERS=1, but {refusal}")
        pytest.skip(refusal)
    wrapped = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PREPARE, "sh", *map(str, command)]
    return wrapped, {"WRITABLE": " ".join(map(str, writable))}


@functools.cache
def _refused() -> str:
    """Say why no mount namespace can be had, nothing if it can."""
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return "no mount namespace: unshare and setpriv (Debian: util-linux) are not installed"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "mount", "-o", "remount,bind,ro", "/"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no mount namespace: {done.stderr.strip() or 'not root'}" if done.returncode else ""
