"""Who receives in `bench receive`: this node, and what it is compared with, each as a user would start it.

All run with TCP_NODELAY=1: DCMTK and Orthanc leave Nagle's algorithm on without it, and are twenty times slower.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from db.schema import upgrade
from db.session import Database
from node.bench import plain_scp
from node.bench.old_studies import fill
from node.demo.harness import RunningNode, free_port

_SYSTEM_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin")
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_INDEXED_LIMIT_S = 600.0
_LOOK_S = 0.05
_WORKERS_START_S = 10.0
"""For so long a worker that starts keeps a processor busy."""
_LONGEST_PDU = 131072
_OLD_STUDY = 200
_NODE_CONFIG = """\
[dicom]
ae_title = "NODE"
port = {port}

[storage]
path = "node"
"""


class Receiver(AbstractContextManager["Receiver"]):
    """A Storage SCP in a process of its own.

    Attributes
    ----------
    name, ae_title : str
        For the report, for the caller.
    port, pid : int
        Known while it runs.
    """

    name: str
    ae_title: str
    port: int
    pid: int

    @abstractmethod
    def __enter__(self) -> Self: ...

    def settle(self) -> None:
        """Wait until nothing is left to do of what was received."""

    def processes(self) -> list[psutil.Process]:
        """Return those that receive."""
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


class _Program(Receiver):
    """A receiver that is a program on this machine."""

    ae_title = "BENCHSCP"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        self._process = subprocess.Popen(  # noqa: S603 - a program found in the system's folders, or our own
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        self.pid = self._process.pid
        _wait_for_port(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for path in self._folder.rglob("*"):
            # Not removed before the end: ext4 passes over inodes that were freed lately, so that the next one pays.
            if path.is_file():
                os.truncate(path, 0)


class StoreScp(_Program):
    """DCMTK's storescp, a process for each association; it does not fsync."""

    name = "storescp --fork"

    def _command(self) -> Sequence[str | Path]:
        options = ["--fork", "--max-pdu", str(_LONGEST_PDU), "-aet", self.ae_title, "-od", str(self._folder)]
        return [_need("storescp"), *options, str(self.port)]


class Orthanc(_Program):
    """Orthanc as it comes: SQLite, and fsync of what it stores."""

    name = "Orthanc"

    def _command(self) -> Sequence[str | Path]:
        settings = {
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "HttpPort": free_port(),
            "RemoteAccessAllowed": False,
        }
        file = self._folder / "orthanc.json"
        file.write_text(json.dumps(settings))
        return [_need("Orthanc"), file]


class PlainPynetdicom(_Program):
    """A receiver as pynetdicom's documentation writes it; it does not fsync."""

    name = "plain pynetdicom"
    ae_title = plain_scp.AE_TITLE

    def _command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", plain_scp.__name__, str(self.port), self._folder]


class ThisNode(Receiver):
    """The whole node without rules: it fsyncs file and folder before each answer, and indexes meanwhile.

    Parameters
    ----------
    folder : Path
        Made here.
    archived : int
        Instances that its database holds already.
    """

    ae_title = "NODE"

    def __init__(self, folder: Path, *, archived: int = 0) -> None:
        self.name = f"this node, {archived:,} archived" if archived else "this node"
        self._folder = folder
        self._archived = archived

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        config = self._folder / "config.toml"
        config.write_text(_NODE_CONFIG.format(port=free_port()))
        self._node = RunningNode(config)
        if self._archived:
            self._node.storage.prepare()
            database = Database(f"sqlite:///{self._node.storage.database}")
            upgrade(database)
            fill(database, studies=max(1, self._archived // _OLD_STUDY), instances=min(self._archived, _OLD_STUDY))
            database.close()
        self._node.__enter__()
        self.port, self.pid = self._node.peer.port, self._node.process.pid
        time.sleep(_WORKERS_START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.__exit__(kind, error, trace)

    def processes(self) -> list[psutil.Process]:
        """Return the service, without its workers: they wait for jobs."""
        return [psutil.Process(self.pid)]

    def settle(self) -> None:
        """Wait until all is indexed."""
        deadline = time.monotonic() + _INDEXED_LIMIT_S
        while self._node.storage.spooled() and time.monotonic() < deadline:
            time.sleep(_LOOK_S)


PEERS: Mapping[str, Callable[[Path], Receiver]] = {
    StoreScp.name: StoreScp,
    Orthanc.name: Orthanc,
    PlainPynetdicom.name: PlainPynetdicom,
}
_PROGRAMS = {StoreScp.name: "storescp", Orthanc.name: "Orthanc"}


def absent() -> list[str]:
    """Return the names of peers that are not installed here."""
    return [name for name, program in _PROGRAMS.items() if _find(program) is None]


def _find(program: str) -> Path | None:
    """Return a program of the system: pynetdicom installs scripts of the names of DCMTK's."""
    for folder in _SYSTEM_FOLDERS:
        if found := shutil.which(program, path=folder):
            return Path(found)
    return None


def _need(program: str) -> Path:
    found = _find(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed")
    return found


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_S)
        else:
            return
