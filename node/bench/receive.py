"""How fast instances are received, beside other receivers on the same machine, in turn in one go.

The senders are the same for all: a process for each association that costs next to nothing (`node.bench.sender`).
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from pydicom.uid import generate_uid
from rich.table import Table

from node.bench.machine import describe
from node.bench.receivers import PEERS, Orthanc, Receiver, StoreScp, ThisNode, absent
from node.bench.sender import FRAME_BYTES, Load, Sent
from node.console import console

_WATCH_EVERY_S = 0.02
_GOALS = {Orthanc.name: 2.0, StoreScp.name: 0.65}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """What one receiver did with so many associations.

    Attributes
    ----------
    per_s : tuple of float
        Instances answered with success a second, for each run.
    median_per_s : float
        Of them.
    cpu_ms : float
        Processor time of the receiver for an instance, while it received; median.
    peak_mb : float
        Most resident memory of its processes together while it received; what they share counts for each.
    settled_s : float
        How much longer it was busy with what it had answered (this node: until all was indexed); median.
    """

    receiver: str
    associations: int
    per_s: tuple[float, ...]
    median_per_s: float
    cpu_ms: float
    peak_mb: float
    settled_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Large:
    """One instance of many frames.

    Attributes
    ----------
    idle_mb, peak_mb : float
        Resident memory before and while it came; what processes share counts for each.
    private_mb : float
        The part of the peak that no file backs: what is left when program and libraries are taken out.
    """

    gb: float
    seconds: float
    idle_mb: float
    peak_mb: float
    private_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiving:
    """Figures of one run.

    Attributes
    ----------
    absent : tuple of str
        Peers that are not installed here.
    ratios : dict
        This node's median by that of each other receiver, by number of associations.
    goals : dict
        What the ratio to a peer is to be at least, for one association.
    """

    machine: dict[str, str]
    instances: int
    instance_mb: float
    absent: tuple[str, ...]
    rates: tuple[Rate, ...]
    ratios: dict[str, dict[int, float]]
    goals: dict[str, float]
    large: tuple[Large, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    per_s: float
    cpu_ms: float
    peak_mb: float
    settled_s: float


class SenderFailedError(Exception):
    """What was sent was not answered with success."""


def measure(
    *, instances: int, associations: Sequence[int], runs: int, archived: int, large_gb: Sequence[float]
) -> Receiving:
    """Measure every receiver that is installed.

    Parameters
    ----------
    instances : int
        Of 0.5 MB each, a run.
    associations : sequence of int
        How many at a time, one after the other.
    runs : int
        How often, the receivers in turn.
    archived : int
        Instances in the database of a second node; 0 leaves it out.
    large_gb : sequence of float
        Sizes of single instances that this node is sent at the end.

    Raises
    ------
    SenderFailedError
        If a receiver did not take everything.
    """
    readings: dict[tuple[str, int], list[_Reading]] = {}
    missing = absent()
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch, ExitStack() as running:
        nodes = [ThisNode(Path(scratch) / "node")]
        if archived:
            nodes.append(ThisNode(Path(scratch) / "archive", archived=archived))
        for node in nodes:
            running.enter_context(node)
        for run in range(runs):
            peers = [make(Path(scratch) / f"{name} {run}") for name, make in PEERS.items() if name not in missing]
            for receiver in (*nodes, *peers):
                with ExitStack() as started:
                    if receiver not in nodes:
                        started.enter_context(receiver)
                    for count in associations:
                        reading = _receive(receiver, instances=instances, associations=count)
                        readings.setdefault((receiver.name, count), []).append(reading)
        large = tuple(_receive_large(nodes[0], gb) for gb in large_gb)
    rates = tuple(_rate(name, count, some) for (name, count), some in readings.items())
    return Receiving(
        machine=describe(),
        instances=instances,
        instance_mb=round(FRAME_BYTES / 1e6, 2),
        absent=tuple(missing),
        rates=rates,
        ratios=_ratios(rates, nodes[0].name),
        goals=_GOALS,
        large=large,
    )


def _receive(receiver: Receiver, *, instances: int, associations: int) -> _Reading:
    loads = [
        Load(
            host="127.0.0.1",
            port=receiver.port,
            called_ae_title=receiver.ae_title,
            study_uid=str(generate_uid(prefix=None)),
            instances=instances // associations,
        )
        for _ in range(associations)
    ]
    with _watched(receiver) as peak:
        before = _processor_s(receiver)
        sent = _send(loads, to=receiver.name)
        used = _processor_s(receiver) - before
    ended = max(one.ended_s for one in sent)
    receiver.settle()
    accepted = sum(one.accepted for one in sent)
    return _Reading(
        per_s=accepted / (ended - min(one.began_s for one in sent)),
        cpu_ms=1000 * used / accepted,
        peak_mb=peak[0] / 1e6,
        settled_s=time.monotonic() - ended,
    )


def _receive_large(node: Receiver, gb: float) -> Large:
    frames = max(2, round(gb * 1e9 / FRAME_BYTES))
    load = Load(
        host="127.0.0.1",
        port=node.port,
        called_ae_title=node.ae_title,
        study_uid=str(generate_uid(prefix=None)),
        instances=1,
        frames=frames,
    )
    idle, _ = _resident(node)
    with _watched(node) as peak:
        (sent,) = _send([load], to=node.name)
        node.settle()
    return Large(
        gb=round(sent.bytes / 1e9, 2),
        seconds=round(sent.ended_s - sent.began_s, 1),
        idle_mb=round(idle / 1e6, 1),
        peak_mb=round(peak[0] / 1e6, 1),
        private_mb=round(peak[1] / 1e6, 1),
    )


def _send(loads: Sequence[Load], *, to: str) -> list[Sent]:
    """Let one process for each load connect, then all begin."""
    with ExitStack() as senders:
        processes = [
            senders.enter_context(
                subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", "node.bench.sender", json.dumps(asdict(load))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for load in loads
        ]
        for process in processes:
            if process.stdout is None or not process.stdout.readline():
                raise SenderFailedError(f"{to} let a sender not in; see above for why")
        for process in processes:
            if process.stdin is not None:
                process.stdin.write("\n")
                process.stdin.flush()
        answers = [process.communicate()[0] for process in processes]
    if not all(answers):
        raise SenderFailedError(f"{to} hung up on a sender; see above for why")
    sent = [Sent(**json.loads(answer)) for answer in answers]
    if sum(one.accepted for one in sent) != sum(load.instances for load in loads):
        raise SenderFailedError(f"{to} did not answer every instance with success")
    return sent


@contextmanager
def _watched(receiver: Receiver) -> Iterator[list[float]]:
    """Note the most memory that a receiver holds, all of it and what no file backs."""
    ended, peak = threading.Event(), [float(held) for held in _resident(receiver)]

    def watch() -> None:
        while not ended.wait(_WATCH_EVERY_S):
            peak[:] = map(max, peak, _resident(receiver))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _resident(receiver: Receiver) -> tuple[int, int]:
    """Return bytes of resident memory, and of that which no file backs."""
    held = private = 0
    for process in receiver.processes():
        try:
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        held += memory.rss
        private += memory.rss - getattr(memory, "shared", 0)  # told by Linux alone
    return held, private


def _processor_s(receiver: Receiver) -> float:
    """Return processor time of a receiver, its processes that ended included."""
    used = 0.0
    for process in receiver.processes():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used


def _rate(name: str, associations: int, readings: Sequence[_Reading]) -> Rate:
    return Rate(
        receiver=name,
        associations=associations,
        per_s=tuple(round(one.per_s, 1) for one in readings),
        median_per_s=round(statistics.median(one.per_s for one in readings), 1),
        cpu_ms=round(statistics.median(one.cpu_ms for one in readings), 2),
        peak_mb=round(max(one.peak_mb for one in readings), 1),
        settled_s=round(statistics.median(one.settled_s for one in readings), 2),
    )


def _ratios(rates: Sequence[Rate], node: str) -> dict[str, dict[int, float]]:
    ours = {rate.associations: rate.median_per_s for rate in rates if rate.receiver == node}
    ratios: dict[str, dict[int, float]] = {}
    for rate in rates:
        if rate.receiver != node:
            ratio = round(ours[rate.associations] / rate.median_per_s, 2)
            ratios.setdefault(rate.receiver, {})[rate.associations] = ratio
    return ratios


def show(report: Receiving) -> None:
    """Print rates, ratios, and what large instances cost."""
    title = f"{report.instances} instances of {report.instance_mb} MB, medians of {len(report.rates[0].per_s)} runs"
    table = Table("receiver", "at a time", "per s", "our ratio", "CPU ms", "MB", "busy s", title=title)
    for rate in report.rates:
        ratio = report.ratios.get(rate.receiver, {}).get(rate.associations)
        table.add_row(
            rate.receiver,
            str(rate.associations),
            f"{rate.median_per_s:.0f}",
            f"{ratio:.2f}" if ratio else "",
            f"{rate.cpu_ms:.2f}",
            f"{rate.peak_mb:.0f}",
            f"{rate.settled_s:.1f}",
        )
    console.print(table)
    for one in report.large:
        console.print(
            f"{one.gb:.2f} GB in one instance: {one.seconds:.1f} s, memory {one.idle_mb:.0f} -> {one.peak_mb:.0f} MB, "
            f"{one.private_mb:.0f} MB of it not of program files"
        )
    for name in report.absent:
        console.print(f"{name} is not installed here, and was not measured")
