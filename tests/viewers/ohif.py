"""OHIF as its makers publish it: fetched once by npm, verified by a pinned hash, kept in the user's cache.

``python -m tests.viewers.ohif`` fetches it; tests never do, so that they need no network.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.peers import need

VERSION = "3.13.2"
PACKAGE = f"@ohif/app@{VERSION}"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
FETCH_TIMEOUT_S = 240

_DIST = "package/dist/"
_NOT_OF_A_VIEWER = ("package/dist/ort/", "package/dist/dicom-microscopy-viewer/")  # 140 of its 200 MB


class FetchError(Exception):
    """OHIF could not be fetched, or is not what it should be."""


def folder() -> Path:
    """Return where OHIF is kept: $XDG_CACHE_HOME/opacity-node/ohif-VERSION, else below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "opacity-node" / f"ohif-{VERSION}"


def need_ohif() -> Path:
    """Return the folder of OHIF's files, or skip the test; where REQUIRE_PEERS=1, fail it."""
    reason = f"OHIF {VERSION} is not in {folder()} ({Path(sys.executable).name} -m tests.viewers.ohif fetches it)"
    return need(folder() / "index.html", reason).parent


def fetch() -> Path:
    """Fetch OHIF unless it is there; return its folder.

    Raises
    ------
    FetchError
        Without npm, without the registry, or if what came is not what was pinned.
    """
    target = folder()
    if (target / "index.html").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        unpacked = _unpack(_pack(Path(name)), Path(name) / "dist")
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)
    return target


def _pack(into: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is not installed (Debian: apt-get install npm).")
    done = subprocess.run(
        [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(into)],
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        check=False,
        cwd=into,
    )
    tarballs = list(into.glob("*.tgz"))
    if done.returncode != 0 or len(tarballs) != 1:
        raise FetchError(f"npm pack {PACKAGE} failed with {done.returncode}: {done.stderr.strip()[-400:]}")
    return tarballs[0]


def _unpack(tarball: Path, into: Path) -> Path:
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if digest != SHA512:
        raise FetchError(f"{PACKAGE} has the hash sha512-{digest}, not the pinned sha512-{SHA512}.")
    with tarfile.open(tarball) as archive:
        for member in archive:
            if member.name.startswith(_DIST) and not member.name.startswith(_NOT_OF_A_VIEWER):
                member.name = member.name.removeprefix(_DIST)
                archive.extract(member, into, filter="data")
    return into


if __name__ == "__main__":
    try:
        print(fetch())  # noqa: T201
    except (FetchError, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"OHIF was not fetched. {error}")
