"""One pipeline on one CT in a process of its own, timed part by part: ours, or the package it was published as.

Both sides run the same random networks (`node.bench.stand_ins`). A network of random weights says rubbish, on which the
clean-up of lung masks takes longer than all networks: R231 is computed whole on both sides, and then dark pixels within
an ellipse are marked in place of what it said.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from node.bench import stand_ins

_DARK = 0.32
"""Of R231's input, -500 HU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What to run.

    Attributes
    ----------
    side : str
        A pipeline, or ``"package"`` for the published balaitous.
    paths : tuple of Path
        Of one CT, from feet to head.
    weights : Path
        Filled by `stand_ins.fill`.
    lungs : tuple of 2 int
        Slices of the resampled CT between which lungs are planted.
    precision, device : str
        Of our side; the package computes in float32.
    """

    side: str
    paths: tuple[Path, ...]
    weights: Path
    lungs: tuple[int, int]
    precision: str = "float32"
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run, its networks loaded before it began.

    Attributes
    ----------
    wall_s, cpu_s : float
        All of it.
    parts : Mapping[str, float]
        Seconds of each part, in its order.
    counts : Mapping[str, int]
        Images that each network saw.
    peak_mb : float
        Most resident memory of the process while it ran, weights included.
    scores : tuple of float
        Of balaitous: COVID-19 and severity.
    """

    wall_s: float
    cpu_s: float
    parts: Mapping[str, float]
    counts: Mapping[str, int]
    peak_mb: float
    scores: tuple[float, ...] = ()


@dataclass(slots=True)
class _Clock:
    """Seconds by part, and how many images each network saw."""

    parts: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - started

    def watch(self, owner: Any, attribute: str, name: Callable[..., str]) -> None:  # noqa: ANN401 - module or class
        """Time every call of a function; `name` tells the part from its arguments."""
        inner = getattr(owner, attribute)

        def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with self.part(name(*args, **kwargs)):
                return inner(*args, **kwargs)

        setattr(owner, attribute, watched)


def run(task: Task) -> Run:
    """Run a task in a process of its own.

    Raises
    ------
    RuntimeError
        If it ended without a result; says why.
    """
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_in_process, args=(task, there), daemon=True)
    process.start()
    there.close()
    try:
        said = here.recv()
    except EOFError:
        said = "it was ended"
    process.join()
    if isinstance(said, Run):
        return said
    raise RuntimeError(f"{task.side} gave no result: {said}")


def _in_process(task: Task, answer: Connection) -> None:
    os.environ["TQDM_DISABLE"] = "1"
    try:
        stand_ins.accept(task.weights)
        planted, clock = _plant_lungs(), _Clock()
        work = _package(task, clock) if task.side == "package" else _ours(task, clock)
        planted(task.lungs)
        _forget_peak()
        before, started = _cpu_s(), time.perf_counter()
        scores = work()
        wall, cpu = time.perf_counter() - started, _cpu_s() - before
        parts = {name: round(seconds, 3) for name, seconds in clock.parts.items()}
        answer.send(
            Run(
                wall_s=round(wall, 2),
                cpu_s=round(cpu, 2),
                parts=parts,
                counts=clock.counts,
                peak_mb=_peak_mb(),
                scores=scores,
            )
        )
    except Exception as error:  # noqa: BLE001 - told to the process that asked
        answer.send(f"{type(error).__name__}: {error}")


def _plant_lungs() -> Callable[[tuple[int, int]], None]:
    """Have R231 mark dark pixels from now on; the function returned says on which slices, counted from its call."""
    import torch
    from lungmask.resunet import UNet
    from torch.nn.modules.module import register_module_forward_hook

    state = {"seen": 0, "first": 0, "end": 0}

    def replace(network: torch.nn.Module, given: tuple[torch.Tensor, ...], said: torch.Tensor) -> torch.Tensor | None:
        if not isinstance(network, UNet):
            return None
        images = given[0]
        rows, columns = images.shape[-2:]
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        numbers = torch.arange(len(images)) + state["seen"]
        state["seen"] += len(images)
        shown = (numbers >= state["first"]) & (numbers < state["end"])
        inside = ((y / 0.8) ** 2 + (x / 0.85) ** 2 < 1).to(images.device) & shown[:, None, None].to(images.device)
        lung = (images[:, 0] < _DARK) & inside
        right = (x < 0).to(images.device)
        return torch.stack([~lung, lung & right, lung & ~right], dim=1).to(said.dtype)

    register_module_forward_hook(cast("Callable[..., None]", replace))  # its types forget that a hook may answer

    def begin(lungs: tuple[int, int]) -> None:
        state["seen"], (state["first"], state["end"]) = 0, lungs

    return begin


def _ours(task: Task, clock: _Clock) -> Callable[[], tuple[float, ...]]:
    import numpy as np

    from inference import compute, registry, resampled_ct, series
    from inference.networks.r231 import LungMask
    from inference.weights import Shelf

    compute.set_limits(compute.Limits(precision=compute.Precision(task.precision)))
    found = Shelf(task.weights).require(*registry.CARDS[task.side].weights)
    LungMask(found["lungmask-r231"], device=task.device)(np.zeros((1, 64, 64), np.int16))
    watched = _watch_balaitous if task.side == "balaitous" else _watch_severity
    scores = watched(task, clock, found)
    clock.watch(resampled_ct, "resample", lambda *_: "resample")
    clock.watch(LungMask, "__call__", lambda _, volume: _counted(clock, "lung mask", len(volume)))
    pipeline = registry.load(task.side, weights=task.weights)

    def work() -> tuple[float, ...]:
        with clock.part("load"):
            loaded = series.load(task.paths)
        findings = pipeline(loaded, task.device)
        with clock.part("maps"):
            for heatmap in findings.heatmaps:
                heatmap.values.sum()
        return tuple(scores)

    return work


def _watch_balaitous(task: Task, clock: _Clock, found: Mapping[str, Any]) -> list[float]:
    import numpy as np

    from inference import lung_regions
    from inference.balaitous import features, preparation, regressions
    from inference.pipelines import balaitous

    for view, blocks in balaitous.BLOCKS.items():
        image = np.zeros((2, 3, 224, 224), np.float32)
        features.features(image, found[f"balaitous-{view}"], blocks=blocks, device=task.device)
    views = {blocks: view for view, blocks in balaitous.BLOCKS.items()}
    clock.watch(
        features,
        "features",
        lambda images, _, *, blocks, **__: _counted(clock, f"ViT, {views[blocks]}", 2 * len(images)),
    )
    clock.watch(preparation, "prepare", lambda *_: "prepare")
    clock.watch(lung_regions, "lung_regions", lambda *_: "lungs on the CT's grid")
    scores: list[float] = []
    regress = regressions.scores

    def caught(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        said = regress(*args, **kwargs)
        scores[:] = [said.covid, said.severe]
        return said

    vars(balaitous)["scores"] = caught
    return scores


def _watch_severity(task: Task, clock: _Clock, found: Mapping[str, Any]) -> list[float]:
    import numpy as np

    from inference import lung_regions
    from inference.severity import prepared, reading

    volume = np.zeros((12, 32, 32), np.float32)
    blank = prepared.Prepared(volume=volume, kept=np.arange(12), margin=(0, 0), shape=volume.shape)
    for slot in ("ct-severity-ltc", "ct-severity-i3d"):
        reading.read(blank, found[slot], device=task.device)
    clock.watch(reading, "read", lambda _, weights, **__: _counted(clock, weights.slot.name[-3:].upper(), 1))
    clock.watch(reading, "grad_cam", lambda *_: "of that Grad-CAM")
    clock.watch(lung_regions, "lung_regions", lambda *_: "lungs on the CT's grid")
    return []


def _package(task: Task, clock: _Clock) -> Callable[[], tuple[float, ...]]:
    import numpy as np
    import SimpleITK as sitk  # noqa: N813 - the name its documentation uses
    import torch
    from balaitous.balaitous import Balaitous  # type: ignore[import-untyped, import-not-found, unused-ignore]

    def read_file(url: str, **_: Any) -> Any:  # noqa: ANN401
        return torch.load(task.weights / url.rpartition("/")[2], map_location="cpu", weights_only=True)

    vars(torch.hub)["load_state_dict_from_url"] = (
        read_file  # it would download R231 with every scan, and the others once
    )
    steps = Balaitous(device=task.device).transforms.transforms
    for step in steps:
        if hasattr(step, "model"):
            step({"image": np.zeros((224, 224, 1), np.int16)})
    names = {
        "SitkResample": "resample",
        "CreateLungMask": "lung mask",
    }

    def work() -> tuple[float, ...]:
        with clock.part("load"):
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames([str(path) for path in task.paths])
            sample: dict[str, Any] = {"image": reader.Execute(), **_patient(task.paths[0])}
        for step in steps:
            kind = type(step).__name__
            is_network = kind == "iBOTExtractor"
            name = f"ViT, {step.key}" if is_network else names.get(kind, "prepare")
            if is_network:
                clock.counts[name] = 2 * sample["image"].shape[2]
            with clock.part(name):
                sample = step(sample)
        return float(sample["prediction"]["covid"]), float(sample["prediction"]["severe"])

    return work


def _patient(path: Path) -> dict[str, Any]:
    """Return age and sex as we read them, since the package looks for metadata that no reader of DICOM sets."""
    import pydicom

    from inference.balaitous.demographics import demographics

    said = demographics([pydicom.dcmread(path, stop_before_pixels=True)])
    return {"age": said.age_years, "sex": said.sex}


def _counted(clock: _Clock, name: str, count: int) -> str:
    clock.counts[name] = count
    return name


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1000, 1)
