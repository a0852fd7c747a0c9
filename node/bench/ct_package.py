"""The package `balaitous` 1.2 as published, step by step, on a CT and networks that are given to it."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 - the name its documentation uses
import torch
from lungmask import mask

from inference.balaitous.demographics import demographics
from node.bench import stand_ins
from node.bench.clock import Clock
from node.bench.ct_run import Ready, Task

_NAMES = {"SitkResample": "resample", "CreateLungMask": "lung mask"}


def load(task: Task, clock: Clock) -> Ready:
    """Load its networks."""
    from balaitous.balaitous import Balaitous  # type: ignore[import-untyped, import-not-found, unused-ignore]

    # It would download the others once, and R231, the last to be read here, with every scan.
    vars(torch.hub)["load_state_dict_from_url"] = lambda url, **_: _state(task.weights / url.rpartition("/")[2])
    vars(mask)["apply"] = partial(mask.apply, tqdm_disable=True)  # bars in the midst of a report
    steps = Balaitous(device=task.device).transforms.transforms
    for step in steps:
        if hasattr(step, "model"):
            step({"image": np.zeros((224, 224, 1), np.int16)})
        elif type(step).__name__ == "CreateLungMask":
            step({"image": sitk.Image(64, 64, 1, sitk.sitkInt16)})

    def work() -> tuple[float, ...]:
        with clock.part("load"):
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames([str(path) for path in task.paths])
            sample: dict[str, Any] = {"image": reader.Execute(), **_patient(task.paths[0])}
        for step in steps:
            with clock.part(_part(step, sample, clock)):
                sample = step(sample)
        return float(sample["prediction"]["covid"]), float(sample["prediction"]["severe"])

    return Ready(work=work, weights_mb=lambda: stand_ins.size_mb(task.weights, *stand_ins.BALAITOUS))


def _part(step: Any, sample: dict[str, Any], clock: Clock) -> str:  # noqa: ANN401 - the package has no types
    kind = type(step).__name__
    if kind == "iBOTExtractor":
        return clock.count(f"ViT, {step.key}", 2 * sample["image"].shape[2])  # and its flip
    if kind == "CreateLungMask":
        clock.count("lung mask", sample["image"].GetDepth())
    return _NAMES.get(kind, "prepare")


@lru_cache(1)
def _state(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _patient(path: Path) -> dict[str, Any]:
    """Return age and sex as we read them, since the package looks for metadata that no reader of DICOM sets."""
    said = demographics([pydicom.dcmread(path, stop_before_pixels=True)])
    return {"age": said.age_years, "sex": said.sex}
