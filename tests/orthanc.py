"""Orthanc as a peer: a real PACS, started by the tests that need one."""

import json
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from tests.peers import PEER_ENVIRONMENT, START_TIMEOUT_S, TOOL_TIMEOUT_S, need, need_tool
from tests.processes import LOOPBACK, Daemon, free_port, wait_for_port

_PLUGINS = Path("/usr/share/orthanc/plugins")


class Orthanc:
    """An Orthanc with an empty database in ``folder``, used as a context manager.

    Debian's Orthanc listens for DICOM on every interface and cannot be told otherwise; a network namespace of its
    own would hide it from the node in the test process too. So it is closed instead of hidden: HTTP to loopback
    only, and DICOM (``DicomAlwaysAllow*`` false, ``DicomCheckModalityHost``, ``DicomCheckCalledAet``) to the AE
    titles in ``calling_aets``, called from 127.0.0.1 and naming it as it is named. ``admit`` lets another one in.

    Parameters
    ----------
    plugins
        File names of Debian's plugins: ``DICOMWEB``, which a viewer reads from, ``GDCM``, which decodes more.

    Attributes
    ----------
    ae_title, host, port
        How it is called.
    log
        What it wrote; the end of it is in the message of a failure to start.
    """

    DICOMWEB, GDCM = "libOrthancDicomWeb.so", "libOrthancGdcm.so"
    KNOWN_AETS = ("OPACITY_NODE", "DCMSEND", "STORESCU", "FINDSCU", "ECHOSCU", "PYNETDICOM", "TEST", "SENDER")

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "ORTHANC",
        calling_aets: Iterable[str] = KNOWN_AETS,
        plugins: Iterable[str] = (),
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.ae_title = ae_title
        self.host = LOOPBACK
        self.port = free_port()
        self.http_port = free_port()
        self.log = folder / "orthanc.log"
        self._folder = folder
        loaded = {"Plugins": [str(_need_plugin(name)) for name in plugins]}
        self._settings = self._configuration(calling_aets) | loaded | dict(settings or {})
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.stop(grace_s=0)  # what it holds is thrown away: no need for the 3 s of its clean end

    def start(self) -> None:
        """Start it, or start it again with what it held, on the same ports."""
        program = need_tool("Orthanc")
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "orthanc.json"
        configuration.write_text(json.dumps(self._settings, indent=2))
        self._daemon = Daemon([program, "--verbose", configuration], self.log, PEER_ENVIRONMENT)
        try:
            wait_for_port(self.http_port, timeout_s=START_TIMEOUT_S, process=self._daemon)
            wait_for_port(self.port, timeout_s=START_TIMEOUT_S, process=self._daemon)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it; what it holds stays in its folder."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    def admit(self, ae_title: str, port: int = 104) -> None:
        """Let a peer on loopback call, and be the target of :meth:`forward`."""
        modality = {"AET": ae_title, "Host": LOOPBACK, "Port": port, "Manufacturer": "Generic"}
        self.rest("PUT", f"/modalities/{ae_title}", modality)

    def instances(self) -> list[str]:
        """Return Orthanc's own identifiers of all instances it holds."""
        return list(self.rest("GET", "/instances"))

    def wait_for_instances(self, count: int, *, timeout_s: float = 60) -> list[str]:
        """Wait until it holds at least ``count`` instances, and return them."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.instances()) < count:
            if time.monotonic() > deadline:
                pytest.fail(f"Orthanc holds {len(found)} instances after {timeout_s} s, not {count}\n{self.log_text()}")
            time.sleep(0.1)
        return found

    def tags(self, instance: str) -> dict[str, Any]:
        """Return an instance's top-level attributes as ``{keyword: value}``."""
        return dict(self.rest("GET", f"/instances/{instance}/simplified-tags"))

    def download(self, instance: str, folder: Path) -> Path:
        """Write an instance's file, as Orthanc stores it, into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{instance}.dcm"
        file.write_bytes(self._request("GET", f"/instances/{instance}/file"))
        return file

    def preview(self, instance: str) -> bytes:
        """Return the picture of an instance's first frame, as its explorer shows it: a PNG file."""
        return self._request("GET", f"/instances/{instance}/preview")

    def forward(self, resources: Sequence[str], ae_title: str, port: int) -> dict[str, Any]:
        """C-STORE instances, series or studies to a peer on loopback; return Orthanc's report."""
        self.admit(ae_title, port)
        return dict(self.rest("POST", f"/modalities/{ae_title}/store", {"Resources": list(resources)}))

    def rest(self, method: str, path: str, body: object = None) -> Any:
        """Call the REST API and return the parsed answer, None where it is empty."""
        answer = self._request(method, path, None if body is None else json.dumps(body).encode())
        return json.loads(answer) if answer.strip() else None

    def log_text(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:]) if self.log.exists() else ""

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.http_port}{path}", data=body, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TOOL_TIMEOUT_S) as answer:
            return bytes(answer.read())

    def _configuration(self, calling_aets: Iterable[str]) -> dict[str, object]:
        database = str(self._folder / "database")
        return {
            "Name": "test",
            "StorageDirectory": database,
            "IndexDirectory": database,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomAlwaysAllowFind": False,
            "DicomAlwaysAllowGet": False,
            "DicomAlwaysAllowMove": False,
            "DicomModalities": {aet: [aet, LOOPBACK, 104] for aet in calling_aets},
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "StableAge": 2,
        }


def _need_plugin(name: str) -> Path:
    reason = f"Orthanc's plugin {name} is not installed (Debian: apt-get install orthanc-dicomweb orthanc-gdcm)"
    return need(_PLUGINS / name, reason)
