"""Phantoms -> recipe -> slots -> `ct-severity` on phantoms it has not seen: what it says, and where it looks.

lungmask R231 cannot be had here: where it would be called, the phantom's own lungs are given.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dicom_out.resampling import resampled
from inference import registry, series
from inference.findings import Findings, Heatmap
from inference.networks.r231 import LungMask
from inference.resampled_ct import SPACING_MM, resampled_ct
from inference.series import Series
from inference.severity.prepared import prepare
from inference.weights import Shelf
from phantom.involvement import Lobe
from tests.learn import shelves
from tests.learn.severity_phantoms import KnownCT, known_cts, truth_of_lungs
from training.ct_severity.fitting import Recipe, untrained
from training.ct_severity.recipe import LUNG_MASK, Sources, make

_NEARLY_HOTTEST = 0.995


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one network said of one CT.

    Attributes
    ----------
    place : Lobe
        All of the opacity lies there.
    level, said : int
        The truth, and what the network said.
    covid : bool
        The truth.
    covid_said : float
        Score in %.
    at_opacity, mirrored_at_opacity : bool
        Whether the hottest cell of the attention map holds opacity; and whether it did if the map were mirrored.
    """

    place: Lobe
    level: int
    said: int
    covid: bool
    covid_said: float
    at_opacity: bool
    mirrored_at_opacity: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Wired:
    """What came of it.

    Attributes
    ----------
    records : Mapping[str, Mapping]
        What the recipe wrote beside each network.
    verdicts : Mapping[str, Sequence[Verdict]]
        By network: all held-out CTs.
    """

    records: Mapping[str, Mapping[str, Any]]
    verdicts: Mapping[str, Sequence[Verdict]]


def wire(folder: Path, recipes: Sequence[Recipe], *, cts: int, unseen: int) -> Wired:
    """Train by each recipe, install what it made, and run the pipeline; one of no epochs fills its slot at random."""
    data, weights = folder / "data", folder / "weights"
    chest = known_cts(data, cts, seed=1)[0].chest
    with pytest.MonkeyPatch.context() as patch, _one_thread():
        shelves.stand_in(patch, LUNG_MASK, weights)
        patch.setattr(LungMask, "__call__", lambda _, hounsfield: truth_of_lungs(chest, hounsfield.shape))
        sources = Sources(data=data, labels=data / "labels.csv", weights=weights, out=folder / "out")
        records = {}
        for recipe in recipes:
            slot = f"ct-severity-{recipe.network}"
            if recipe.epochs:
                records[recipe.network.upper()] = make(sources, recipe)
            else:
                sources.out.mkdir(exist_ok=True)
                save_file(untrained(recipe).state_dict(), sources.out / f"{slot}.safetensors")
            shelves.install(slot, sources.out / f"{slot}.safetensors", weights)
        trained = [recipe for recipe in recipes if recipe.epochs]
        verdicts: dict[str, list[Verdict]] = {name: [] for name in records}
        for ct in known_cts(folder / "unseen", unseen, seed=2):
            for name, verdict in _judged(ct, weights, trained):
                verdicts[name].append(verdict)
    return Wired(records=records, verdicts=verdicts)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Repeat to the bit, and leave the other processors to other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _judged(ct: KnownCT, weights: Path, recipes: Sequence[Recipe]) -> Iterator[tuple[str, Verdict]]:
    source = series.load(ct.paths)
    pipeline = registry.load("ct-severity", weights=weights)
    assert pipeline.accepts(source) is None
    findings = pipeline(source, "cpu")
    for recipe in recipes:
        name = recipe.network.upper()
        cell_mm = _cell_mm(source, weights, recipe)
        (found,) = [heatmap for heatmap in findings.heatmaps if heatmap.label == f"attention {name}"] or [None]
        values = found and _on(source, found)
        yield (
            name,
            Verdict(
                place=ct.place,
                level=ct.level,
                said=_level(findings, name),
                covid=ct.covid,
                covid_said=_covid(findings, name),
                at_opacity=values is not None and _hottest_at(ct, values, cell_mm),
                mirrored_at_opacity=values is not None and _hottest_at(ct, values[..., ::-1], cell_mm),
            ),
        )


def _level(findings: Findings, name: str) -> int:
    (answer,) = (one.value for one in findings.categories if one.concept.meaning == f"Severity, {name}")
    return int(answer.meaning.split()[1])


def _covid(findings: Findings, name: str) -> float:
    (score,) = (one.value for one in findings.measurements if one.concept.value == f"{name}COVID")
    return score


def _on(source: Series, heatmap: Heatmap) -> np.ndarray:
    """Return a map on the grid of the CT, as the writers of results put it there."""
    return np.stack(list(resampled(heatmap, source.geometry, source.pixel_array.shape)))


def _cell_mm(source: Series, weights: Path, recipe: Recipe) -> np.ndarray:
    """Return the size of a cell of the network's last block, along slices, rows and columns."""
    ct = resampled_ct(source, Shelf(weights).require(LUNG_MASK)[LUNG_MASK], device="cpu")
    shown = prepare(ct.hounsfield, ct.labels).volume.shape
    return np.array(untrained(recipe).cells.step) * shown / recipe.size * SPACING_MM


def _hottest_at(ct: KnownCT, values: np.ndarray, cell_mm: np.ndarray) -> bool:
    """Say whether opacity lies within half a cell, along each axis, of the middle of where a map is hottest."""
    hottest = np.argwhere(values >= _NEARLY_HOTTEST * values.max()).mean(axis=0)
    away_mm = np.abs(np.argwhere(ct.chest.opacity) - hottest) * ct.chest.spacing_mm
    return bool((away_mm <= cell_mm / 2 + np.array(ct.chest.spacing_mm) / 2).all(axis=1).any())
