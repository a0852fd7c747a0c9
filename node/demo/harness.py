"""A real node in a process of its own, on free ports and its own storage, watched through its database."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from db.files import Storage
from db.repository import reports
from db.repository.reports import StudyReport
from db.session import Database
from dicom_out.sender import Peer, echo
from node.config import load
from node.console import errors
from node.demo.interrupting import CtrlC
from node.demo.pacs import AE_TITLE

NODE_AE_TITLE = "OPACITY_NODE"
QUIET_S = 2.0
_START_LIMIT_S = 60.0
_ANSWER_LIMIT_S = 5.0
_STOP_LIMIT_S = 60.0
_STOPPING = "interrupted, stopping the node, which lets a running job end; Ctrl-C once more kills it …"

_CONFIG = """\
# Written by `opacity-node demo`; a short quiet time, because the demo knows when it has sent everything.
[dicom]
ae_title = "{ae_title}"
port = {port}

[storage]
path = "node"
weights = "{weights}"

[settle]
quiet_ct_s = {quiet_s}
quiet_xray_s = {quiet_s}

[engine]
max_attempts = 2
retry_after_s = 1

[[destinations]]
name = "demo-pacs"
host = "127.0.0.1"
port = {pacs_port}
ae_title = "{pacs_ae_title}"
maps = "source-grid"

[[rules]]
name = "chest CT"
modality = "CT"
pipelines = ["lung-densitometry"]
destinations = ["demo-pacs"]

[[rules]]
name = "chest X-ray"
modality = ["CR", "DX"]
pipelines = ["lung-fields"]
destinations = ["demo-pacs"]
"""


class NodeDiedError(Exception):
    """The node's process ended; its log says why."""


def write_config(folder: Path, *, pacs_port: int, pacs_ae_title: str = AE_TITLE) -> Path:
    """Write the configuration of a demo node into a folder that also takes its storage."""
    config = folder / "config.toml"
    config.write_text(
        _CONFIG.format(
            ae_title=NODE_AE_TITLE,
            port=free_port(),
            weights=Path("weights").resolve(),
            quiet_s=QUIET_S,
            pacs_port=pacs_port,
            pacs_ae_title=pacs_ae_title,
        )
    )
    return config


class RunningNode:
    """`opacity-node serve` while the block runs.

    Parameters
    ----------
    config : Path
        Its configuration; a log is written beside it.
    """

    def __init__(self, config: Path) -> None:
        self._file = config
        settings = load(config)
        self.storage = Storage(settings.storage.path)
        self.log = config.with_name("node.log")
        self.peer = Peer(
            host=settings.dicom.host,
            port=settings.dicom.port,
            ae_title=settings.dicom.ae_title,
            our_ae_title="DEMO_SCU",
            timeout_s=60,
        )
        self.start_seconds = 0.0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            self._ctrl_c = ends.enter_context(CtrlC())
            with self.log.open("ab") as log, self._ctrl_c.later():
                self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", "node", "serve", "--config", str(self._file)],
                    stdout=log,
                    stderr=log,
                )
                ends.push(self._stop)  # at Ctrl-C too: nobody else would end the process
            self._wait_for_answer()
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.__exit__(kind, error, trace)

    def _stop(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.process.poll() is not None:
            return
        if isinstance(error, KeyboardInterrupt):
            errors.print(_STOPPING, style="yellow", highlight=False)
        self.process.send_signal(signal.SIGTERM)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_LIMIT_S)
        finally:
            self.process.kill()
            self.process.wait()

    def _wait_for_answer(self) -> None:
        started = time.monotonic()
        asked = replace(self.peer, timeout_s=_ANSWER_LIMIT_S)
        while not echo(asked):
            self.check()
            if time.monotonic() - started > _START_LIMIT_S:
                raise NodeDiedError(f"the node did not answer within {_START_LIMIT_S:.0f} s; see {self.log}")
            time.sleep(0.05)
        self.start_seconds = time.monotonic() - started

    def check(self) -> None:
        """Raise if the node has ended, or should.

        Raises
        ------
        NodeDiedError
            With how it ended and the place of its log.
        KeyboardInterrupt
            At a Ctrl-C that was dropped.
        """
        self._ctrl_c.heed()
        status = self.process.poll()
        if status is not None:
            raise NodeDiedError(f"{_how_it_ended(status)} before its work was done; see {self.log}")

    def studies(self) -> list[StudyReport]:
        """Return what the node's database holds."""
        if not self.storage.database.is_file():
            return []
        database = Database(f"sqlite:///{self.storage.database}")
        try:
            with database.read() as session:
                return reports.studies(session, newest=1000)
        finally:
            database.close()


def _how_it_ended(status: int) -> str:
    if status == 0:
        return "somebody else ended the node: it was told to stop by SIGTERM or SIGINT, and stopped"
    if status > 0:
        return f"the node ended with status {status}"
    return f"the node was killed by {signal.Signals(-status).name}"


def free_port() -> int:
    """Return a TCP port of the loopback interface that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
