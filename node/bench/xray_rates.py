"""Pipelines of X-rays: images a second, and those of the same networks called one after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from node.bench import operations, stand_ins
from node.bench.limit import Limit
from node.bench.xray_run import SIDES, Run, Task, run
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import to_dataset
from phantom.dicom import write

_IMAGES = 2
_ROWS, _COLUMNS = 1200, 1024
_ALWAYS_FLOAT32_ON_CPU = ("DenseNet-121", "ConvNeXt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Images a second, through the whole pipeline.

    Attributes
    ----------
    pipeline : str
        Of `node.bench.xray_run.SIDES`.
    precision : str
        What our networks computed in; those called naively in float32.
    images : int
        That waited together.
    together_per_s, alone_per_s, naively_per_s : float
        All at once; one by itself; one after another, each network as its library shows.
    faster, faster_by_processor_time : float
        Together by naively.
    apart : Mapping[str, float]
        By network, how far what it says is from what it says naively at most, in [0, 1].
    parts : Mapping[str, float]
        Seconds of each network for all images, with what is done before and after it.
    shares : Mapping[str, float]
        Of the machine's measured rate of multiplying matrices, by network.
    gflop : Mapping[str, float]
        Of one image, of networks that take any size; of others it stands in `Limit`.
    """

    pipeline: str
    precision: str
    images: int
    together_per_s: float
    alone_per_s: float
    naively_per_s: float
    faster: float
    faster_by_processor_time: float
    apart: Mapping[str, float]
    parts: Mapping[str, float]
    shares: Mapping[str, float]
    gflop: Mapping[str, float]


def rates(folder: Path, *, runs: int, precisions: Sequence[str], device: str) -> dict[str, dict[str, Run]]:
    """Run both sides of every pipeline in turn.

    Parameters
    ----------
    folder : Path
        Takes weights and images.
    runs : int
        Of each side.
    precisions : sequence of str
        Of ours.
    device : str
        Torch device.

    Returns
    -------
    dict of dict of Run
        By pipeline, and by precision of ours, ``""`` for the naive one.
    """
    weights = folder / "xray weights"
    stand_ins.fill(weights, [name for names in stand_ins.XRAY.values() for name in names])
    phantoms = [make_radiograph(rows=_ROWS, columns=_COLUMNS, seed=seed) for seed in range(_IMAGES)]
    images = [to_dataset(one, uid_entropy=f"bench {number}") for number, one in enumerate(phantoms)]
    paths = tuple(write(folder / "xrays", images))

    def task(pipeline: str, precision: str) -> Task:
        return Task(
            pipeline=pipeline,
            is_naive=not precision,
            paths=paths,
            weights=weights,
            runs=runs,
            precision=precision or "float32",
            device=device,
        )

    return {name: {precision: run(task(name, precision)) for precision in ("", *precisions)} for name in SIDES}


def rated(found: Mapping[str, Mapping[str, Run]], limits: Mapping[str, Limit], device: str) -> tuple[Rate, ...]:
    """Compare ours with the naive run of the same pipeline."""
    return tuple(
        _rate(pipeline, precision, ours, runs[""], limits=limits, device=device)
        for pipeline, runs in found.items()
        for precision, ours in runs.items()
        if precision
    )


def _rate(pipeline: str, precision: str, ours: Run, naive: Run, *, limits: Mapping[str, Limit], device: str) -> Rate:
    sized = operations.on_sizes(ours.sizes)

    def limit(network: str) -> Limit | None:
        is_float32 = device == "cpu" and network in _ALWAYS_FLOAT32_ON_CPU
        bound = limits.get("float32" if is_float32 else precision)
        return bound and replace(bound, gflop={**bound.gflop, **sized})

    return Rate(
        pipeline=pipeline,
        precision=precision,
        images=_IMAGES,
        together_per_s=round(_IMAGES / ours.together.wall_s, 3),
        alone_per_s=round(1 / ours.single.wall_s, 3) if ours.single else 0.0,
        naively_per_s=round(_IMAGES / naive.together.wall_s, 3),
        faster=round(naive.together.wall_s / ours.together.wall_s, 2),
        faster_by_processor_time=round(naive.together.cpu_s / ours.together.cpu_s, 2),
        apart={name: float(np.abs(ours.said[name] - said).max()) for name, said in naive.said.items()},
        parts=ours.parts,
        shares={
            name: round(bound.share(name, count, ours.parts[name]), 2)
            for name, count in ours.counts.items()
            if (bound := limit(name)) and name in bound.gflop
        },
        gflop=sized,
    )
