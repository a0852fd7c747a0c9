"""What the service itself costs: seconds to its first answer, memory while receiving, processor time when idle.

The service is the node without its worker processes.
"""

import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.table import Table

from node.bench.machine import describe
from node.console import console
from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write

_SLICES_PER_STUDY = 100
_SETTLING_IN_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceCost:
    """Figures of one run.

    Attributes
    ----------
    start_s : float
        From starting the process to the first answered C-ECHO.
    slices, slice_mb : int, float
        What was received, 512 x 512 x 16 bit each.
    received_per_s : float
        Instances a second over one association, each on stable storage before its answer.
    peak_rss_mb, idle_rss_mb : float
        Resident memory of the service while receiving, and before.
    idle_cpu_percent : float
        Of one core, over the idle time.
    """

    machine: dict[str, str]
    start_s: float
    slices: int
    slice_mb: float
    received_per_s: float
    peak_rss_mb: float
    idle_rss_mb: float
    idle_cpu_percent: float
    idle_s: float


def measure(*, slices: int, idle_s: float) -> ServiceCost:
    """Start a node, leave it idle, then send it studies.

    Parameters
    ----------
    slices : int
        How many to send; a multiple of 100.
    idle_s : float
        How long to watch it idle.
    """
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch:
        folder = Path(scratch)
        with EmbeddedPacs(folder / "pacs") as pacs, RunningNode(write_config(folder, pacs_port=pacs.port)) as node:
            service = psutil.Process(node.process.pid)
            time.sleep(_SETTLING_IN_S)
            idle_rss = service.memory_info().rss
            before = service.cpu_times()
            time.sleep(idle_s)
            after = service.cpu_times()
            peak, seconds, slice_mb = _receive(node, service, folder, slices)
            return ServiceCost(
                machine=describe(),
                start_s=round(node.start_seconds, 2),
                slices=slices,
                slice_mb=round(slice_mb, 2),
                received_per_s=round(slices / seconds, 1),
                peak_rss_mb=round(peak / 1e6, 1),
                idle_rss_mb=round(idle_rss / 1e6, 1),
                idle_cpu_percent=round(100 * (after.user + after.system - before.user - before.system) / idle_s, 2),
                idle_s=idle_s,
            )


def _receive(node: RunningNode, service: psutil.Process, folder: Path, slices: int) -> tuple[float, float, float]:
    """Send studies one after another; return peak memory in bytes, seconds of sending, and MB a slice."""
    chest = make_chest(slices=_SLICES_PER_STUDY, rows=512, columns=512, spacing_mm=(3.0, 0.7, 0.7))
    ended = threading.Event()
    peak = [0.0]

    def watch() -> None:
        while not ended.wait(0.05):
            peak[0] = max(peak[0], service.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    seconds = size = 0.0
    try:
        for number in range(slices // _SLICES_PER_STUDY):
            paths = write(folder / "study", to_datasets(chest, uid_entropy=f"bench {number}"))
            size = paths[0].stat().st_size / 1e6
            started = time.perf_counter()
            sent = send_files(paths, node.peer)
            seconds += time.perf_counter() - started
            if sent.stored != len(paths):
                raise RuntimeError(f"the node did not store everything: {dict(sent.failures)}")
            for path in paths:
                path.unlink()
    finally:
        ended.set()
        watcher.join()
    return peak[0], seconds, size


def show(report: ServiceCost) -> None:
    """Print the figures."""
    table = Table("figure", "value", title="the service without its workers")
    table.add_row("start to first C-ECHO answered", f"{report.start_s:.2f} s")
    table.add_row("memory when idle", f"{report.idle_rss_mb:.0f} MB")
    table.add_row(
        f"peak memory while receiving {report.slices} slices of {report.slice_mb} MB", f"{report.peak_rss_mb:.0f} MB"
    )
    table.add_row("received, each durable before its answer", f"{report.received_per_s:.0f} /s")
    table.add_row(f"processor when idle, over {report.idle_s:.0f} s", f"{report.idle_cpu_percent:.2f} % of a core")
    console.print(table)
