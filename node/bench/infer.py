"""The pipelines with networks: seconds, memory, and how near the machine's limit; balaitous beside its own package.

Weights are random and of full size: what the networks say is meaningless, how long they take is not. Sides take turns,
each run in a fresh process with its networks loaded, so that ratios hold where seconds do not.
"""

import importlib.util
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from inference import series
from node.bench import stand_ins
from node.bench.infer_side import Run, Task, run
from node.bench.limit import Limit, limits
from node.bench.machine import describe
from node.bench.xray_rates import Rate, rates
from node.console import console
from node.study_files import dicom_files
from phantom.dicom import write_study

_SLICE_MM = 5.0
_ENDS_MM = 25.0
_WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "package": stand_ins.SLOTS[:4],
    "balaitous": stand_ins.SLOTS[:4],
    "ct-severity": ("lungmask-r231", "ct-severity-ltc", "ct-severity-i3d"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What ran, how often, and the medians of it.

    Attributes
    ----------
    name, precision : str
        A pipeline or ``package``; what its networks computed in.
    wall_s, cpu_s, parts, counts, scores
        Of `node.bench.infer_side.Run`.
    memory_mb : float
        Most resident memory of a process, less its weights.
    shares : Mapping[str, float]
        Of the machine's measured rate of multiplying matrices, by network.
    """

    name: str
    precision: str
    runs: tuple[Run, ...]
    wall_s: float
    cpu_s: float
    memory_mb: float
    parts: Mapping[str, float]
    counts: Mapping[str, int]
    scores: tuple[float, ...]
    shares: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferenceTime:
    """What was measured.

    Attributes
    ----------
    study, instances
        What ran through the CT pipelines.
    lung_slices : tuple of 2 int
        Slices of the resampled CT between which lungs were planted.
    sides : tuple of Side
        The package first, where it is installed.
    faster : Mapping[str, float]
        Median of the package to that of ours, by precision, of wall and of processor seconds.
    apart : Mapping[str, float]
        By precision, how far the two probabilities are from the package's at most.
    limits : Mapping[str, Limit]
        By precision.
    xrays : tuple of Rate
        Images a second.
    """

    machine: dict[str, str]
    device: str
    study: str
    instances: int
    lung_slices: tuple[int, int]
    package: str
    sides: tuple[Side, ...]
    faster: Mapping[str, float]
    faster_by_processor_time: Mapping[str, float]
    apart: Mapping[str, float]
    limits: Mapping[str, Limit]
    xrays: tuple[Rate, ...]


def measure(
    study: Path | None, *, runs: int, lung_slices: int | None, precisions: Sequence[str], device: str
) -> InferenceTime:
    """Run the pipelines.

    Parameters
    ----------
    study : Path, optional
        Folder of one CT series; by default a synthetic one.
    runs : int
        Of each side.
    lung_slices : int, optional
        How many slices of 5 mm hold lungs; by default all but 25 mm at each end.
    precisions : sequence of str
        ``float32``, ``bfloat16``.
    device : str
        Torch device.

    Raises
    ------
    inference.findings.SelectionRefusedError
        If the folder does not hold one volume.
    RuntimeError
        If a side gave no result; says why.
    """
    has_package = importlib.util.find_spec("balaitous") is not None
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as scratch:
        source, weights = study or Path(scratch) / "ct", Path(scratch) / "weights"
        if study is None:
            write_study(source)
        weights.mkdir()
        stand_ins.fill(weights)
        paths, lungs = _sorted(dicom_files(source), lung_slices)

        def task(side: str, precision: str = "float32") -> Task:
            return Task(side=side, paths=paths, weights=weights, lungs=lungs, precision=precision, device=device)

        tasks = [task("package")] if has_package else []
        tasks += [task(side, precision) for side in ("balaitous", "ct-severity") for precision in precisions]
        found: dict[int, list[Run]] = {number: [] for number in range(len(tasks))}
        for _ in range(runs):
            for number, one in enumerate(tasks):
                found[number].append(run(one))
        reached = {precision: limits(precision, device) for precision in precisions}
        sides = tuple(_side(one, tuple(found[n]), weights, reached) for n, one in enumerate(tasks))
    ours = {side.precision: side for side in sides if side.name == "balaitous"}
    theirs = sides[0] if has_package else None
    return InferenceTime(
        machine=describe(),
        device=device,
        study=study.name if study else "synthetic chest CT",
        instances=len(paths),
        lung_slices=lungs,
        package="balaitous 1.2" if has_package else "not installed: ours was run alone",
        sides=sides,
        faster={p: round(theirs.wall_s / side.wall_s, 2) for p, side in ours.items()} if theirs else {},
        faster_by_processor_time={p: round(theirs.cpu_s / side.cpu_s, 2) for p, side in ours.items()} if theirs else {},
        apart={p: _apart(theirs.scores, side.scores) for p, side in ours.items()} if theirs else {},
        limits=reached,
        xrays=rates(runs=runs, device=device),
    )


def _sorted(paths: Sequence[Path], lung_slices: int | None) -> tuple[tuple[Path, ...], tuple[int, int]]:
    """Return the files from feet to head, and between which resampled slices lungs are to be planted."""
    loaded = series.load(paths)
    places = {uid: index for index, uid in enumerate(loaded.sop_instance_uids)}
    ordered = sorted(paths, key=lambda path: places[_uid(path)])
    count = int(len(paths) * loaded.geometry.spacing_mm[0] / _SLICE_MM)
    ends = int(_ENDS_MM / _SLICE_MM)
    wanted = min(lung_slices or count, count - 2 * ends)
    first = (count - wanted) // 2
    return tuple(ordered), (first, first + wanted)


def _uid(path: Path) -> str:
    import pydicom

    return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def _side(task: Task, runs: tuple[Run, ...], weights: Path, reached: Mapping[str, Limit]) -> Side:
    parts = {name: round(statistics.median(one.parts[name] for one in runs), 3) for name in runs[0].parts}
    limit = reached.get(task.precision)
    return Side(
        name=task.side,
        precision=task.precision,
        runs=runs,
        wall_s=statistics.median(one.wall_s for one in runs),
        cpu_s=statistics.median(one.cpu_s for one in runs),
        memory_mb=round(max(one.peak_mb for one in runs) - stand_ins.size_mb(weights, *_WEIGHTS[task.side])),
        parts=parts,
        counts=runs[0].counts,
        scores=runs[0].scores,
        shares={
            name: round(limit.share(name, count, parts[name]), 2)
            for name, count in runs[0].counts.items()
            if limit and name in limit.gflop
        },
    )


def _apart(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(theirs, ours, strict=True))


def show(report: InferenceTime) -> None:
    """Print the medians."""
    console.print(f"{report.study}: {report.instances} slices, {report.device}; random weights", highlight=False)
    console.print(f"Published package: {report.package}", highlight=False)
    for side in report.sides:
        table = Table("part", "seconds", "share of the limit", title=f"{side.name}, {side.precision}")
        for name, seconds in side.parts.items():
            table.add_row(name, f"{seconds:.2f}", f"{side.shares[name]:.0%}" if name in side.shares else "")
        table.add_section()
        table.add_row("[bold]all[/]", f"[bold]{side.wall_s:.2f}[/]")
        table.add_row("processor", f"{side.cpu_s:.2f}")
        table.add_row("memory beside the weights", f"{side.memory_mb:.0f} MB")
        console.print(table)
    for precision, ratio in report.faster.items():
        by_processor = report.faster_by_processor_time[precision]
        console.print(
            f"balaitous in {precision}: {ratio:.2f} times as fast as its package (processor time {by_processor:.2f}), "
            f"probabilities at most {report.apart[precision]:.1e} apart",
            highlight=False,
        )
    for rate in report.xrays:
        console.print(
            f"{rate.pipeline}: {rate.images_per_s:.2f} images/s, {rate.naively_per_s:.2f} one after another "
            f"({rate.ratio:.2f} times as fast)",
            highlight=False,
        )
    console.print(", ".join(f"{key} {value}" for key, value in report.machine.items()), highlight=False)
