"""Exhibits of pipelines whose weights only a site has: planted lungs and networks stand in, on synthetic chests.

What they say of a chest means nothing; what is made of it, and where it is drawn, is that of the program.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_out.context import ResultKind
from inference import resident, series
from phantom.ct import ChestPhantom
from phantom.cxr import RadiographPhantom
from phantom.cxr_dicom import to_dataset
from phantom.dicom import write, write_study
from tests import severity
from tests.narrow_boxes import PIPELINE as BOXES
from tests.narrow_boxes import Boxes
from tests.narrow_ensemble import PIPELINE as ENSEMBLE
from tests.narrow_ensemble import Ensemble
from tests.narrow_explain import PIPELINE as EXPLAIN
from tests.narrow_explain import Explain
from tests.parity import ours, planting
from tests.viewers.exhibits import Exhibit, of_pipeline

BALAITOUS, SEVERITY = "balaitous", "ct-severity"
WITH_REGIONS = (BALAITOUS, SEVERITY, ENSEMBLE, EXPLAIN)
PIPELINES = (*WITH_REGIONS, BOXES)
_DARKENED, _BRIGHT = 0.55, 4000
"""What of a radiograph's 12 bits is left to all else, and what opacity gets: the networks mark what is bright."""


def balaitous(folder: Path, chest: ChestPhantom) -> Exhibit:
    """Score a chest by networks too small to see anything."""
    sources = write_study(folder, chest, uid_entropy=BALAITOUS, patient_id=BALAITOUS)
    with _planting() as patch:
        planting.fill_shelf(patch, folder / "weights")
        planting.plant_tiny_networks(patch)
        loaded = series.load(sources)
        ours.plant(patch, planting.planted_labels(chest.right_lung, chest.left_lung, loaded))
        return of_pipeline(folder, sources, BALAITOUS, planted=folder / "weights")


def ct_severity(folder: Path, chest: ChestPhantom, *, maps: Collection[ResultKind] = ()) -> Exhibit:
    """Judge a chest by narrow networks of random weights, whose attention lies anywhere."""
    sources = write_study(folder, chest, uid_entropy=SEVERITY, patient_id=SEVERITY)
    with _planting() as patch:
        severity.fill_shelf(patch, folder / "weights")
        severity.plant_lungs(patch, severity.planted_labels(series.load(sources), chest))
        return of_pipeline(folder, sources, SEVERITY, maps=maps, planted=folder / "weights")


def opacity_ensemble(folder: Path, phantom: RadiographPhantom, *, maps: Collection[ResultKind] = ()) -> Exhibit:
    """Map the brightest place of a radiograph."""
    sources = _with_bright_opacity(folder, phantom, ENSEMBLE)
    with _planting() as patch:
        weights = Ensemble(folder / "networks").stand_in(patch)
        return of_pipeline(folder, sources, ENSEMBLE, maps=maps, planted=weights)


def opacity_explain(folder: Path, phantom: RadiographPhantom, *, maps: Collection[ResultKind] = ()) -> Exhibit:
    """Map the brightest place of a radiograph on the right, and mark all of what is taken for the left lung."""
    sources = _with_bright_opacity(folder, phantom, EXPLAIN)
    with _planting() as patch:
        weights = Explain(folder / "networks", extents={"right": (1.0, 0.0), "left": (0.0, 0.7)}).stand_in(patch)
        return of_pipeline(folder, sources, EXPLAIN, maps=maps, planted=weights)


def opacity_boxes(folder: Path, phantom: RadiographPhantom) -> Exhibit:
    """Box what is brighter than half of a radiograph."""
    sources = write(folder, [to_dataset(phantom, uid_entropy=BOXES, patient_id=BOXES)])
    with _planting() as patch:
        weights = Boxes(folder / "networks", typical_appearance=0.9).stand_in(patch)
        return of_pipeline(folder, sources, BOXES, planted=weights)


def _with_bright_opacity(folder: Path, phantom: RadiographPhantom, name: str) -> list[Path]:
    pixels = np.where(phantom.opacity, _BRIGHT, _DARKENED * phantom.pixels).astype(np.uint16)
    return write(folder, [to_dataset(replace(phantom, pixels=pixels), uid_entropy=name, patient_id=name)])


@contextmanager
def _planting() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        resident.release_all()
        yield patch
    resident.release_all()
