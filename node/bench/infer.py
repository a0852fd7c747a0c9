"""The pipelines with networks: seconds, memory, and how near the machine's limit, beside what they were published as.

Weights are random and of full size: what the networks say is meaningless, how long they take is not. Sides take turns,
each run in a fresh process with its networks loaded, so that ratios hold where seconds do not.
"""

import importlib.util
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom

from inference import series
from node.bench import stand_ins
from node.bench.ct_run import PACKAGE, Run, Task, run
from node.bench.limit import Limit, limits
from node.bench.machine import describe
from node.bench.xray_rates import Rate, rated, rates
from node.study_files import dicom_files
from phantom.ct import make_chest
from phantom.dicom import write_study

_SLICE_MM = 5.0
_ENDS_MM = 25.0
_LONG_CT_MM = 320.0
_FEW_SLICES = 16
_COARSE = 4
"""The long CT is made of coarser voxels: what they show costs no memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What ran, how often, and the medians of it.

    Attributes
    ----------
    name, precision : str
        A pipeline or ``package``; what its networks computed in.
    wall_s, cpu_s, parts, counts, scores
        Of `node.bench.ct_run.Run`.
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
    long_instances : int
        Slices of 512 x 512 of a synthetic CT; 0 where memory was not measured on one.
    long_memory_mb : Mapping[str, float]
        Most resident memory on that, less weights, by pipeline, in float32.
    xrays : tuple of Rate
        Of pipelines of X-rays.
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
    long_instances: int
    long_memory_mb: Mapping[str, float]
    xrays: tuple[Rate, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be measured.

    Attributes
    ----------
    study : Path or None
        Folder of one CT series; None for a synthetic one.
    runs : int
        Of each side.
    lung_slices : int
        How many slices of 5 mm hold lungs; of fewer, all but 25 mm at each end.
    precisions : sequence of str
        ``float32``, ``bfloat16``.
    long_slices : int
        Of a synthetic CT on which memory is measured; 0 for none.
    device : str
        Torch device.
    """

    study: Path | None
    runs: int
    lung_slices: int
    precisions: Sequence[str]
    long_slices: int
    device: str


def measure(wanted: Wanted) -> InferenceTime:
    """Run the pipelines.

    Raises
    ------
    inference.findings.SelectionRefusedError
        If the folder does not hold one volume.
    RuntimeError
        If a side gave no result; says why.
    """
    has_package = importlib.util.find_spec("balaitous") is not None
    with tempfile.TemporaryDirectory(prefix="opacity-node-bench-") as made:
        scratch = Path(made)
        tasks = _tasks(wanted, scratch, has_package=has_package)
        found: dict[int, list[Run]] = {number: [] for number in range(len(tasks))}
        for _ in range(wanted.runs):
            for number, task in enumerate(tasks):
                found[number].append(run(task))
        xrays = rates(scratch, runs=wanted.runs, precisions=wanted.precisions, device=wanted.device)
        long_memory_mb = _long_memory_mb(tasks[0], wanted.long_slices, scratch) if wanted.long_slices else {}
        reached = {precision: limits(precision, wanted.device) for precision in {"float32", *wanted.precisions}}
    sides = tuple(_side(task, tuple(found[number]), reached) for number, task in enumerate(tasks))
    ours = {side.precision: side for side in sides if side.name == "balaitous"}
    theirs = sides[0] if has_package else None
    return InferenceTime(
        machine=describe(),
        device=wanted.device,
        study=wanted.study.name if wanted.study else "synthetic chest CT",
        instances=len(tasks[0].paths),
        lung_slices=tasks[0].lungs,
        package="balaitous 1.2" if has_package else "not installed: ours was run alone",
        sides=sides,
        faster={p: round(theirs.wall_s / side.wall_s, 2) for p, side in ours.items()} if theirs else {},
        faster_by_processor_time={p: round(theirs.cpu_s / side.cpu_s, 2) for p, side in ours.items()} if theirs else {},
        apart={p: _apart(theirs.scores, side.scores) for p, side in ours.items()} if theirs else {},
        limits=reached,
        long_instances=wanted.long_slices,
        long_memory_mb=long_memory_mb,
        xrays=rated(xrays, reached, wanted.device),
    )


def _tasks(wanted: Wanted, scratch: Path, *, has_package: bool) -> list[Task]:
    source, weights = wanted.study or scratch / "ct", scratch / "ct weights"
    if wanted.study is None:
        write_study(source)
    stand_ins.fill(weights, stand_ins.CT)
    paths, lungs = _sorted(dicom_files(source), wanted.lung_slices)
    first = Task(side=PACKAGE, paths=paths, weights=weights, lungs=lungs, device=wanted.device)
    return [
        *([first] if has_package else []),
        *(replace(first, side="balaitous", precision=precision) for precision in wanted.precisions),
        replace(first, side="ct-severity"),
    ]


def _long_memory_mb(like: Task, slices: int, scratch: Path) -> dict[str, float]:
    thickness_mm, pixel_mm = _LONG_CT_MM / slices, 0.7
    coarse = make_chest(
        slices=slices // _COARSE,
        rows=512 // _COARSE,
        columns=512 // _COARSE,
        spacing_mm=(thickness_mm * _COARSE, pixel_mm * _COARSE, pixel_mm * _COARSE),
    )
    hounsfield = coarse.hounsfield
    for axis in range(3):
        hounsfield = hounsfield.repeat(_COARSE, axis=axis)
    fine = replace(coarse, hounsfield=hounsfield, spacing_mm=(thickness_mm, pixel_mm, pixel_mm))
    write_study(scratch / "long ct", fine)
    paths, lungs = _sorted(dicom_files(scratch / "long ct"), _FEW_SLICES)
    found = {side: run(replace(like, side=side, paths=paths, lungs=lungs)) for side in ("balaitous", "ct-severity")}
    return {side: _memory_mb(one) for side, one in found.items()}


def _sorted(paths: Sequence[Path], lung_slices: int) -> tuple[tuple[Path, ...], tuple[int, int]]:
    """Return the files from feet to head, and between which resampled slices lungs are to be planted."""
    loaded = series.load(paths)
    places = {uid: index for index, uid in enumerate(loaded.sop_instance_uids)}
    ordered = sorted(paths, key=lambda path: places[_uid(path)])
    count = int(len(paths) * loaded.geometry.spacing_mm[0] / _SLICE_MM)
    wanted = min(lung_slices, count - 2 * int(_ENDS_MM / _SLICE_MM))
    first = (count - wanted) // 2
    return tuple(ordered), (first, first + wanted)


def _uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def _side(task: Task, runs: tuple[Run, ...], reached: Mapping[str, Limit]) -> Side:
    parts = {name: round(statistics.median(one.parts[name] for one in runs), 3) for name in runs[0].parts}
    limit = reached[task.precision]
    return Side(
        name=task.side,
        precision=task.precision,
        runs=runs,
        wall_s=statistics.median(one.wall_s for one in runs),
        cpu_s=statistics.median(one.cpu_s for one in runs),
        memory_mb=max(map(_memory_mb, runs)),
        parts=parts,
        counts=runs[0].counts,
        scores=runs[0].scores,
        shares={
            name: round(limit.share(name, count, parts[name]), 2)
            for name, count in runs[0].counts.items()
            if name in limit.gflop
        },
    )


def _memory_mb(run: Run) -> float:
    return round(run.peak_mb - run.weights_mb)


def _apart(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(theirs, ours, strict=True))
