"""CTs on which both sides are compared: each as DICOM files, with lungs to plant and what the header says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference import series
from inference.ct_lungs import Lungs, find_lungs_classical
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.parity.planting import planted_labels


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    folder: Path
    series: series.Series
    labels: np.ndarray
    header: Mapping[str, str]


PHANTOMS = {
    "cropped": {"slices": 72, "rows": 256, "columns": 256, "spacing_mm": (4.0, 1.4, 1.4)},
    "padded": {"slices": 60, "rows": 113, "columns": 118, "spacing_mm": (5.0, 2.7, 2.7)},
    "padded and cropped": {"slices": 59, "rows": 96, "columns": 180, "spacing_mm": (5.0, 2.6, 2.0)},
}
HEADERS = {
    "cropped": {"PatientAge": "045Y", "PatientSex": "F"},
    "padded": {"PatientSex": "O"},
    "padded and cropped": {"PatientAge": "019Y", "PatientSex": "M"},
}

REAL_HEADER = {"PatientAge": "045Y", "PatientSex": "F"}


def phantom(name: str, folder: Path, *, lungs: slice = slice(None)) -> Case:
    """Return a synthetic chest; `lungs` are the slices on which they are planted."""
    chest = make_chest(**PHANTOMS[name])
    header = HEADERS[name]
    datasets = to_datasets(chest, patient_birth_date="")
    for dataset in datasets:
        for keyword, value in header.items():
            setattr(dataset, keyword, value)
    loaded = series.load(write(folder, datasets))
    planted = np.zeros_like(chest.right_lung)
    planted[lungs] = True
    labels = planted_labels(chest.right_lung & planted, chest.left_lung & planted, loaded)
    return Case(name=f"phantom, {name}", folder=folder, series=loaded, labels=labels, header=header)


def real(folder: Path) -> Case:
    """Return the real CT, with an age and sex that leave all logits within 4; its own exceed that by themselves."""
    loaded = series.load(sorted(folder.glob("*.dcm")))
    for header in loaded.headers:
        header.PatientAge, header.PatientSex = REAL_HEADER["PatientAge"], REAL_HEADER["PatientSex"]
    lungs = find_lungs_classical(loaded)
    assert isinstance(lungs, Lungs)
    labels = planted_labels(lungs.right, lungs.left, loaded)
    return Case(name="real CT", folder=folder, series=loaded, labels=labels, header=REAL_HEADER)
