"""From files to a volume in Hounsfield units: how long, on every processor and on one.

Both are measured in turn within one process, so that their ratio holds where the seconds do not.
"""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pydicom
from rich.table import Table

from inference import series
from node.bench.machine import describe
from node.console import console
from node.study_files import dicom_files
from phantom.ct import make_chest
from phantom.dicom import write_study


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadTime:
    """Seconds to read, sort and decode one series.

    Attributes
    ----------
    transfer_syntax : str
        Of the first file.
    parallel_s, sequential_s : float
        Medians: slices decoded by one thread a processor, and by one thread.
    ratio : float
        Parallel to sequential.
    runs : list of tuple of 2 float
        Seconds of each run, parallel and sequential.
    """

    machine: dict[str, str]
    study: str
    instances: int
    transfer_syntax: str
    threads: int
    parallel_s: float
    sequential_s: float
    ratio: float
    runs: list[tuple[float, float]]


def measure(study: Path | None, *, runs: int) -> LoadTime:
    """Load one series several times.

    Parameters
    ----------
    study : Path, optional
        Folder that holds one CT series; by default a synthetic one, uncompressed.
    runs : int
        How often, after one that is not counted.

    Raises
    ------
    inference.findings.SelectionRefusedError
        If the folder does not hold one volume.
    """
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch:
        source = study or Path(scratch)
        if study is None:
            write_study(source, make_chest(slices=248, rows=512, columns=512, spacing_mm=(1.2, 0.7, 0.7)))
        paths = dicom_files(source)
        _seconds(paths, None)
        measured = [(_seconds(paths, None), _seconds(paths, 1)) for _ in range(runs)]
        transfer_syntax = pydicom.dcmread(paths[0], stop_before_pixels=True).file_meta.TransferSyntaxUID.name
    parallel, sequential = (statistics.median(column) for column in zip(*measured, strict=True))
    return LoadTime(
        machine=describe(),
        study=study.name if study else "synthetic chest CT",
        instances=len(paths),
        transfer_syntax=transfer_syntax,
        threads=os.cpu_count() or 1,
        parallel_s=round(parallel, 3),
        sequential_s=round(sequential, 3),
        ratio=round(parallel / sequential, 3),
        runs=[(round(a, 3), round(b, 3)) for a, b in measured],
    )


def _seconds(paths: list[Path], threads: int | None) -> float:
    started = time.perf_counter()
    series.load(paths, threads=threads)
    return time.perf_counter() - started


def show(report: LoadTime) -> None:
    """Print the medians."""
    console.print(f"{report.study}: {report.instances} slices, {report.transfer_syntax}", highlight=False)
    table = Table("decoded by", "seconds")
    table.add_row(f"{report.threads} threads", f"{report.parallel_s:.2f}")
    table.add_row("1 thread", f"{report.sequential_s:.2f}")
    table.add_row("ratio", f"{report.ratio:.2f}")
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in report.machine.items()), highlight=False)
