"""Runs a campaign and takes stock: what goes into the evidence."""

import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_out.sender import Peer
from node.bench import machine
from node.config import load
from node.demo.harness import NODE_AE_TITLE, write_config
from tests.processes import LOOPBACK
from tests.torture import audit, rows
from tests.torture.campaign import WINDOWS, Campaign
from tests.torture.ledger import Ledger, RecordingPacs
from tests.torture.marks import Window
from tests.torture.senders import Senders
from tests.torture.studies import Studies

_PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to clients: nobody takes the node's while it is dead."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts; and complaints, of which there should be none.

    Attributes
    ----------
    node_kills : Mapping of str to int
        By the window that was open, and meant.
    node_kills_in_start : int
        While the node put in order what the kill before had left.
    node_kills_too_late : int
        When the window had just closed; on top of the others.
    worker_kills, sender_kills : int
        Of the worker alone, at its job; of a storescu alone, as it sent.
    also_open, worker_was : Mapping of str to int
        What else was open at those kills; what the worker did at those in "running".
    left_behind : int
        Processes that outlived their node.
    answers, acknowledged, kept : int
        Answers 0x0000; instances they were for; those of them that are archived byte for byte, under their UID.
    lost, stuck, failed, misdelivered : sequence of str
        See `tests.torture.audit`.
    starts : int
        How often a job was handed to a worker.
    revisions : int
        Opened by instances that came after their study had settled.
    objects, objects_again : int
        SOP Instance UIDs that the PACS received; those that it received more than once.
    second_serve : str
        How another `opacity-node serve` on the same storage ended.
    """

    machine: Mapping[str, str]
    seed: int
    senders: Sequence[str]
    seconds: float
    node_kills: Mapping[str, int]
    node_kills_in_start: int
    node_kills_too_late: int
    worker_kills: int
    sender_kills: int
    also_open: Mapping[str, int]
    worker_was: Mapping[str, int]
    left_behind: int
    studies: int
    answers: int
    acknowledged: int
    kept: int
    lost: Sequence[str]
    jobs: Mapping[str, int]
    starts: int
    revisions: int
    objects: int
    objects_again: int
    stuck: Sequence[str]
    failed: Sequence[str]
    misdelivered: Sequence[str]
    second_serve: str


def torture(folder: Path, *, kills: int, seed: int) -> Report:
    """Kill so often in each window, let the last life finish, and compare."""
    began = time.monotonic()
    port = _free_port(random.Random(seed))  # noqa: S311 - guards nothing
    ledger = Ledger()
    with RecordingPacs(folder / "pacs") as pacs:
        config = write_config(folder, pacs_port=pacs.port)
        studies = Studies(folder / "sent", finished=pacs.finished)
        peer = Peer(host=LOOPBACK, port=port, ae_title=NODE_AE_TITLE, our_ae_title="SENDER")
        senders = Senders(peer, studies, ledger, seed=seed)
        with Campaign(config, port=port, seed=seed) as campaign:
            with senders:
                campaign.run(kills=kills, dcmtk=senders.dcmtk)
            second_serve = _serve(config)
            campaign.finish()
    toll, root = campaign.toll, campaign.storage.root
    acknowledged = ledger.acknowledged
    with rows.reading(campaign.storage) as session:
        lost = audit.lost(session, root, acknowledged)
        return Report(
            machine=machine.describe(),
            seed=seed,
            senders=senders.programs,
            seconds=round(time.monotonic() - began, 1),
            node_kills={window.value: toll.hits[window] for window in WINDOWS},
            node_kills_in_start=toll.hits[Window.STARTING],
            node_kills_too_late=toll.too_late,
            worker_kills=len(toll.workers),
            sender_kills=toll.senders,
            also_open={window.value: count for window, count in toll.also_open.items()},
            worker_was={stage.value: count for stage, count in toll.stages.items()},
            left_behind=toll.left_behind,
            studies=len(studies.made),
            answers=ledger.answers,
            acknowledged=len(acknowledged),
            kept=len(acknowledged) - len(lost),
            lost=lost,
            jobs=audit.job_states(session),
            starts=toll.starts,
            revisions=audit.late_revisions(session),
            objects=len(pacs.receipts),
            objects_again=sum(len(digests) > 1 for digests in pacs.receipts.values()),
            stuck=audit.stuck(session, root, studies.made),
            failed=audit.failed(session, toll),
            misdelivered=audit.misdelivered(session, root, pacs.receipts),
            second_serve=second_serve,
        )


def _free_port(choice: random.Random) -> int:
    while True:
        port = choice.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)):
                return port


def _serve(config: Path) -> str:
    """Start another node on the storage of one that runs."""
    command = [sys.executable, "-m", "node", "serve", "--config", config]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    complaint = " ".join(done.stderr.split()).replace(str(load(config).storage.path), "its storage")
    return f"exit {done.returncode}: {complaint}"
