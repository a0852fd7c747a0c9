"""The load: four senders at a time, half of them DCMTK's storescu, that send until all is acknowledged, like a PACS."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dicom_out.sender import Peer, SendState, send
from tests.peers import PEER_ENVIRONMENT, TOOL_TIMEOUT_S, find_tool
from tests.torture.ledger import Ledger
from tests.torture.studies import SentStudy, Studies

SENDERS = 4
_REPEATED = 0.15
"""The share of studies, acknowledged long ago, that are sent once more."""
_PAUSE_S = 1.0
_CALL_AGAIN_S = 0.05


class PynetdicomSender:
    """Sends files over one association from this process."""

    def __init__(self, peer: Peer, ledger: Ledger) -> None:
        self._peer = peer
        self._ledger = ledger

    def store(self, paths: Sequence[Path]) -> None:
        for outcome in send(paths, self._peer):
            if outcome.state is SendState.SENT:
                self._ledger.acknowledge(outcome.path)


class DcmtkSender:
    """Sends files over one association with storescu, a process that can be killed too."""

    def __init__(self, program: Path, peer: Peer, ledger: Ledger) -> None:
        self._program = program
        self._peer = peer
        self._ledger = ledger
        self._process: subprocess.Popen[str] | None = None

    def store(self, paths: Sequence[Path]) -> None:
        peer = self._peer
        call = ["-v", "-R", "-aet", "STORESCU", "-aec", peer.ae_title, peer.host, str(peer.port)]
        with subprocess.Popen(
            [self._program, *call, *paths],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **PEER_ENVIRONMENT},
        ) as self._process:
            output, _ = self._process.communicate(timeout=TOOL_TIMEOUT_S)
        sending = None
        for line in output.splitlines():
            if line.startswith("I: Sending file: "):
                sending = Path(line.removeprefix("I: Sending file: "))
            elif line == "I: Received Store Response (Success)" and sending is not None:
                self._ledger.acknowledge(sending)

    def kill(self) -> bool:
        """Say whether it was sending."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


class Senders:
    """Threads that send while the block runs; at its end each completes the study that it is at.

    Parameters
    ----------
    peer : Peer
        The node, in whichever life.
    studies : Studies
        What they send.
    ledger : Ledger
        Told of every acknowledgement.
    seed : int
        Of the mixture.
    """

    def __init__(self, peer: Peer, studies: Studies, ledger: Ledger, *, seed: int) -> None:
        self._studies = studies
        self._ledger = ledger
        self._stopping = threading.Event()
        self._abandoned = False
        program = find_tool("storescu")
        self.dcmtk = [DcmtkSender(program, peer, ledger) for _ in range(SENDERS // 2)] if program else []
        others = [PynetdicomSender(peer, ledger) for _ in range(SENDERS - len(self.dcmtk))]
        self.programs = ["storescu"] * len(self.dcmtk) + ["pynetdicom"] * len(others)
        self._threads = [
            threading.Thread(target=self._run, args=[sender, f"{seed}-{number}"])
            for number, sender in enumerate([*self.dcmtk, *others])
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned = error is not None
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, sender: PynetdicomSender | DcmtkSender, seed: str) -> None:
        choice = random.Random(seed)  # noqa: S311 - guards nothing
        sent: list[SentStudy] = []
        while not self._stopping.is_set():
            if sent and choice.random() < _REPEATED:
                sender.store(choice.choice(sent).paths)
            else:
                study = self._studies.make(choice)
                self._complete(study, sender)
                sent.append(study)
            self._stopping.wait(choice.uniform(0, _PAUSE_S))

    def _complete(self, study: SentStudy, sender: PynetdicomSender | DcmtkSender) -> None:
        while (left := self._ledger.unacknowledged(study.paths)) and not self._abandoned:
            sender.store(left)
            time.sleep(_CALL_AGAIN_S)
