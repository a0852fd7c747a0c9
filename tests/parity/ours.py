"""Our pipeline, run as the worker runs it, with a look at what each of its steps leaves behind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference import compute, resampled_ct
from inference.balaitous import features, preparation, windowing
from inference.compute import Limits, Precision
from inference.findings import Findings
from inference.networks import r231
from inference.pipelines import balaitous as pipeline
from inference.series import Series
from tests.parity.steps import Recorded

_COVID, _SEVERE = "COVIDSCORE", "SEVERESCORE"


def run(
    monkeypatch: pytest.MonkeyPatch,
    series: Series,
    labels: np.ndarray,
    weights: Path,
    *,
    precision: Precision = Precision.FLOAT32,
) -> tuple[Recorded, Findings]:
    """Run the pipeline on a planted lung mask; what tests changed in it before stays changed."""
    recorded: Recorded = {}
    # One large network at a time: the package needs memory beside.
    monkeypatch.setattr(compute, "_limits", Limits(precision=precision, models_mb=1))
    plant(monkeypatch, labels)
    _watch(monkeypatch, recorded)
    findings = pipeline.Balaitous(weights)(replace(series), "cpu")  # of a known series it remembers the lungs
    said = {m.concept.value: m.value / 100 for m in findings.measurements}
    recorded["scores"] = [said[_COVID], said[_SEVERE]]
    return recorded, findings


def planted_ct(monkeypatch: pytest.MonkeyPatch, series: Series, labels: np.ndarray) -> resampled_ct.ResampledCT:
    """Return what the pipeline works on, with a planted lung mask."""
    plant(monkeypatch, labels)
    return resampled_ct.resampled_ct(replace(series), SimpleNamespace(sha256="planted"), device="cpu")


def plant(monkeypatch: pytest.MonkeyPatch, labels: np.ndarray) -> None:
    """Let R231 find these lungs."""

    class Planted:
        parameters: dict[str, str] = {}  # noqa: RUF012 - never changed
        warnings = ()

        def __init__(self, weights: Any, *, device: str) -> None: ...

        def __call__(self, _: np.ndarray) -> np.ndarray:
            return labels

    monkeypatch.setattr(r231, "LungMask", Planted)


def _watch(monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> None:
    views = iter(("full", "lung"))

    def on_windowed(said: np.ndarray) -> Recorded:
        return {"windowed lungs" if "windowed slices" in recorded else "windowed slices": said}

    watched: list[tuple[Any, str, Callable[[Any], Recorded]]] = [
        (pipeline, "demographics", lambda said: {"age and sex": said.covariates}),
        (resampled_ct, "resample", lambda said: {"volume": said[0]}),
        (resampled_ct, "resampled_ct", lambda said: {"lung mask": said.labels}),
        (
            preparation,
            "to_scan",
            lambda said: {"volume, rows reversed": said.hounsfield, "lung mask, rows reversed": said.lungs},
        ),
        (preparation, "clean_lungs", lambda said: {"clean lung mask": said.lungs}),
        (preparation, "crop_or_pad", lambda said: {"framed volume": said.hounsfield, "framed mask": said.lungs}),
        (preparation, "keep_lung_slices", lambda said: {"kept slices": said.hounsfield, "kept mask": said.lungs}),
        (preparation, "lungs_only", lambda said: {"lungs alone": said.hounsfield}),
        (windowing, "windowed", on_windowed),
        (features, "features", lambda said: {f"features, {next(views)}": said.values}),
        (pipeline, "scores", lambda said: {"logits": list(said.logits.values())}),
    ]
    for module, name, read in watched:
        monkeypatch.setattr(module, name, _recording(getattr(module, name), read, recorded))


def _recording(function: Callable[..., Any], read: Callable[[Any], Recorded], recorded: Recorded) -> Callable[..., Any]:
    def recording(*args: Any, **kwargs: Any) -> Any:
        said = function(*args, **kwargs)
        recorded.update({name: np.array(value) for name, value in read(said).items()})
        return said

    return recording
