"""Disks that a test can fill, enlarge and make read-only: small tmpfs mounts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of a few megabytes, mounted on a folder.

    Mounting takes root, or a user namespace of one's own: `unshare -Ur -m` gives one where the kernel allows it.
    """

    def __init__(self, folder: Path, *, megabytes: float) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={int(megabytes * 1e6)}", "tmpfs", folder)

    def resize(self, *, megabytes: float) -> None:
        self._mount("-o", f"remount,size={int(megabytes * 1e6)}", self.folder)

    def make_read_only(self) -> None:
        self._mount("-o", "remount,ro", self.folder)

    @contextmanager
    def read_only(self, folder: Path) -> Iterator[None]:
        """Make one folder of it read-only, also while files are open elsewhere on it."""
        self._mount("--bind", folder, folder)
        try:
            self._mount("-o", "remount,bind,ro", folder)
            yield
        finally:
            subprocess.run(["umount", folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    @staticmethod
    def _mount(*arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


def small_disk(folder: Path, *, megabytes: float) -> SmallDisk:
    """Mount a small disk, or skip the test; for root where REQUIRE_PEERS=1, fail it."""
    try:
        return SmallDisk(folder, megabytes=megabytes)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        folder.rmdir()
        reason = "no file system can be mounted here (run as root, with CAP_SYS_ADMIN in a container)"
        if os.geteuid() == 0:
            fail_if_required(reason)
        pytest.skip(f"{reason}: {error}")


def fail_if_required(reason: str) -> None:
    if os.environ.get("REQUIRE_PEERS") == "1":
        pytest.fail(f"REQUIRE_PEERS=1, but {reason}")
