"""The real peers: programs that nobody of this project wrote, driven from tests.

Traps that would falsify a test, and what is done about each:

- pynetdicom's wheel installs scripts named like DCMTK's tools: :func:`find_tool` never returns a script.
- ``dcmsend`` exits with 0 even when everything was refused: :func:`dcmsend` counts what its summary says.
- Nagle's algorithm makes DCMTK and Orthanc many times slower: TCP_NODELAY=1 is in every peer's environment.
- Debian's DCMTK servers and Orthanc 1.10 have no option to bind to loopback only: see :class:`StoreScp` and
  :class:`tests.orthanc.Orthanc` for what stands in for it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from pydicom import Dataset, dcmread

from tests.processes import LOOPBACK, Daemon, free_port, wait_for_port

TOOL_TIMEOUT_S = 240
START_TIMEOUT_S = 30
PEER_ENVIRONMENT = {"TCP_NODELAY": "1"}
_SYSTEM_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin")

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]


def find_tool(name: str) -> Path | None:
    """Return the path of a compiled program, from the system's folders first; None if there is none."""
    environment_folders = {Path(sys.executable).parent, Path(sys.prefix) / "bin"}
    for folder in [*_SYSTEM_FOLDERS, *os.environ.get("PATH", "").split(os.pathsep)]:
        found = shutil.which(name, path=folder) if folder and Path(folder) not in environment_folders else None
        if found is not None and Path(found).read_bytes()[:2] != b"#!":
            return Path(found)
    return None


def need_tool(name: str) -> Path:
    """Return :func:`find_tool`'s path, or skip the test; where REQUIRE_PEERS=1, fail it."""
    return need(find_tool(name), f"{name} is not installed (Debian: apt-get install dcmtk orthanc)")


def need(path: Path | None, reason: str) -> Path:
    """Return the path if something is there, or skip the test; where REQUIRE_PEERS=1, fail it."""
    if path is not None and path.exists():
        return path
    if os.environ.get("REQUIRE_PEERS") == "1":
        pytest.fail(f"REQUIRE_PEERS=1, but {reason}")
    pytest.skip(reason)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What ``dcmsend`` reported."""

    instances: int  # found in the input
    sent: int  # that it has sent
    succeeded: int  # that the peer answered with status SUCCESS
    associations: int
    exit_status: int  # says little: 0 also when all were refused
    output: str


def dcmsend(
    source: Path | Sequence[Path],
    host: str,
    port: int,
    called_aet: str,
    *,
    calling_aet: str = "DCMSEND",
    options: Sequence[str] = (),
    timeout_s: float = TOOL_TIMEOUT_S,
) -> Sent:
    """Send a folder (with its subfolders), a file or a list of files as they are, never decompressed."""
    files = [source] if isinstance(source, Path) else list(source)
    command: list[str | Path] = ["-v", "--decompress-never", "-aet", calling_aet, "-aec", called_aet, *options]
    if any(file.is_dir() for file in files):
        command += ["--scan-directories", "--recurse"]
    done = _run("dcmsend", [*command, host, str(port), *files], timeout_s=timeout_s)
    return Sent(
        instances=_count(r"Number of SOP instances\s*: (\d+)", done.stdout),
        sent=_count(r"- sent to the peer\s*: (\d+)", done.stdout),
        succeeded=_count(r"\* with status SUCCESS\s*: (\d+)", done.stdout),
        associations=_count(r"Number of associations\s*: (\d+)", done.stdout),
        exit_status=done.returncode,
        output=done.stdout,
    )


def storescu(
    source: Path | Sequence[Path],
    host: str,
    port: int,
    called_aet: str,
    *,
    calling_aet: str = "STORESCU",
    options: Sequence[str] = (),
    timeout_s: float = TOOL_TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Send with DCMTK's ``storescu -R`` (only the contexts it needs); ``options`` choose e.g. ``-xs`` or ``+tls``.

    Unlike dcmsend its exit status tells a refusal; it proposes no compressed transfer syntax unless told to.
    """
    files = [source] if isinstance(source, Path) else list(source)
    command: list[str | Path] = ["-v", "-R", "-aet", calling_aet, "-aec", called_aet, *options]
    if any(file.is_dir() for file in files):
        command += ["--scan-directories", "--recurse"]
    return _run("storescu", [*command, host, str(port), *files], timeout_s=timeout_s)


def echoscu(
    host: str, port: int, called_aet: str, *, calling_aet: str = "ECHOSCU", timeout_s: float = TOOL_TIMEOUT_S
) -> bool:
    """Whether the peer answers a C-ECHO."""
    command = ["-to", "5", "-aet", calling_aet, "-aec", called_aet, host, str(port)]
    return _run("echoscu", command, timeout_s=timeout_s).returncode == 0


def findscu(
    host: str,
    port: int,
    called_aet: str,
    *,
    level: Level = "STUDY",
    keys: Mapping[str, str] | Iterable[str] = (),
    calling_aet: str = "FINDSCU",
) -> list[dict[str, Any]]:
    """C-FIND in the Study Root model; return one ``{keyword: value}`` per match.

    ``keys`` are keywords to return (a list), or to match and return (a dictionary, "" matches all).
    """
    wanted = {"QueryRetrieveLevel": level, **_LEVEL_KEYS[level]}
    wanted.update(keys if isinstance(keys, Mapping) else dict.fromkeys(keys, ""))
    with tempfile.TemporaryDirectory() as folder:
        command = ["-v", "-S", "-X", "-od", folder, "-aet", calling_aet, "-aec", called_aet]
        for keyword, value in wanted.items():
            command += ["-k", f"{keyword}={value}"]
        done = _run("findscu", [*command, host, str(port)])
        if done.returncode != 0:
            pytest.fail(f"findscu failed with {done.returncode}\n{done.stdout}")
        return [_as_dictionary(dcmread(file, force=True)) for file in sorted(Path(folder).glob("rsp*.dcm"))]


def getscu(
    folder: Path, host: str, port: int, called_aet: str, keys: Mapping[str, str], *, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """C-GET in the Study Root model into a folder; the answer's output has its status and numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["-d", "-S", "-aet", "GETSCU", "-aec", called_aet, "-od", folder, *options, *_keys(keys)]
    return _run("getscu", [*command, host, str(port)])


def movescu(
    host: str, port: int, called_aet: str, destination: str, keys: Mapping[str, str], *, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """C-MOVE in the Study Root model; the answer's output has its status and numbers."""
    command = ["-d", "-S", "-aet", "MOVESCU", "-aec", called_aet, "-aem", destination, *options, *_keys(keys)]
    return _run("movescu", [*command, host, str(port)])


def _keys(keys: Mapping[str, str]) -> list[str]:
    return [part for keyword, value in keys.items() for part in ("-k", f"{keyword}={value}")]


_LEVEL_KEYS: dict[Level, dict[str, str]] = {
    "PATIENT": {"PatientID": ""},
    "STUDY": {"StudyInstanceUID": ""},
    "SERIES": {"StudyInstanceUID": "", "SeriesInstanceUID": "", "Modality": ""},
    "IMAGE": {"StudyInstanceUID": "", "SeriesInstanceUID": "", "SOPInstanceUID": "", "SOPClassUID": ""},
}


class StoreScp:
    """DCMTK's ``storescp``: keeps what it gets in ``folder``, any transfer syntax, unknown SOP classes too.

    It listens on every interface, has no option for loopback and checks no AE title; it lives for one test, on a
    port picked at random, and only writes below ``folder``.
    """

    def __init__(self, folder: Path, *, ae_title: str = "STORESCP", options: Sequence[str] = ()) -> None:
        self.ae_title = ae_title
        self.host = LOOPBACK
        self.port = free_port()
        self.folder = folder / "received"
        self.log = folder / "storescp.log"
        self._options = list(options)
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        program = need_tool("storescp")
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ["-v", "-aet", self.ae_title, "+xa", "-pm", "-od", self.folder, *self._options]
        self._daemon = Daemon([program, *options, str(self.port)], self.log, PEER_ENVIRONMENT)
        try:
            wait_for_port(self.port, timeout_s=START_TIMEOUT_S, process=self._daemon)
        except BaseException:
            self._daemon.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.stop()

    def datasets(self) -> list[Dataset]:
        """Read all that it has received."""
        return [dcmread(file) for file in sorted(self.folder.iterdir())]


def _run(
    tool: str, arguments: Sequence[str | Path], *, timeout_s: float = TOOL_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need_tool(tool), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **PEER_ENVIRONMENT},
        timeout=timeout_s,
        check=False,
    )


def _count(pattern: str, output: str) -> int:
    found = re.search(pattern, output)
    return int(found[1]) if found else 0


def _as_dictionary(answer: Dataset) -> dict[str, Any]:
    return {element.keyword: element.value for element in answer if element.keyword}
