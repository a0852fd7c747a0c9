"""Studies that are wrong, each in one way, as scanners, archives and converters really send them.

Every study is of a patient whose name, ID and birth date occur nowhere else, so that a log can be searched for them.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedCTImageStorage, generate_uid

from phantom.ct import ChestPhantom, make_chest
from phantom.dicom import to_datasets, write
from tests.encodings import encode

SECRETS = ("Geheim", "Niemand", "GEHEIM-4711", "19331224")
PATIENT = {"patient_name": "Geheim^Niemand", "patient_id": "GEHEIM-4711", "patient_birth_date": "19331224"}
BREATHING = {"slices": 58, "rows": 80, "columns": 80, "spacing_mm": (5.0, 4.4, 4.4)}
"""The coarsest chest whose lungs are found."""

Change = Callable[[list[Dataset]], list[Dataset]]


@dataclass(frozen=True)
class Case:
    """What is wrong, and what the node must say.

    Attributes
    ----------
    change : callable
        Makes a good series bad.
    code : str or None
        Of the decision; None where the series runs, to be refused by its job.
    words : tuple of str
        That the reason holds: what is wrong in numbers, and the remedy.
    lungs : bool
        Whether the series must show a chest for this to be seen.
    after : callable, optional
        Damages a written file.
    """

    change: Change
    code: str | None
    words: tuple[str, ...]
    lungs: bool = False
    after: Callable[[list[Path]], None] | None = None


def every(**values: object) -> Change:
    """Set attributes of every slice; None takes one away."""
    return some(slice(None), **values)


def some(which: slice, **values: object) -> Change:
    """Set attributes of some slices."""

    def change(datasets: list[Dataset]) -> list[Dataset]:
        for dataset in datasets[which]:
            for keyword, value in values.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)
        return datasets

    return change


def moved(move: Callable[[int, list[float]], list[float]]) -> Change:
    """Give slices other places, as a function of their index and place."""

    def change(datasets: list[Dataset]) -> list[Dataset]:
        for index, dataset in enumerate(datasets):
            place = move(index, [float(v) for v in dataset.ImagePositionPatient])
            dataset.ImagePositionPatient = [f"{v:.6g}" for v in place]
        return datasets

    return change


def twice(datasets: list[Dataset]) -> list[Dataset]:
    """Send every slice a second time under another UID."""
    again = deepcopy(datasets)
    for dataset in again:
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[dataset.SOPInstanceUID, "again"])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return [*datasets, *again]


def of_class(sop_class_uid: str) -> Change:
    """Send the series as another SOP class."""

    def change(datasets: list[Dataset]) -> list[Dataset]:
        for dataset in datasets:
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
        return datasets

    return change


def narrower(datasets: list[Dataset]) -> list[Dataset]:
    """Take half of the columns of every other slice."""
    for dataset in datasets[::2]:
        pixels = dataset.pixel_array[:, ::2]
        dataset.Columns = pixels.shape[1]
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    return datasets


def enhanced(datasets: list[Dataset]) -> list[Dataset]:
    """Put all slices into one object, with as much of an enhanced CT as the node looks at."""
    volume = of_class(EnhancedCTImageStorage)(datasets[:1])[0]
    volume.NumberOfFrames = len(datasets)
    volume.PixelData = b"".join(dataset.PixelData for dataset in datasets)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(volume, keyword)
    return [volume]


def cut_stream(paths: list[Path]) -> None:
    """Compress the series, and lose the end of one frame."""
    for path in paths:
        encode(path, "jpeg-lossless-sv1", path.with_suffix(".tmp")).rename(path)
    dataset = pydicom.dcmread(paths[4])
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 4 * 2]])
    dataset.save_as(paths[4])


def pixels_of_one(length: Callable[[int], int]) -> Change:
    """Give the fifth slice pixel data of another length."""

    def change(datasets: list[Dataset]) -> list[Dataset]:
        pixels = datasets[4].PixelData
        datasets[4].PixelData = (pixels * 2)[: length(len(pixels))]
        return datasets

    return change


_TILTED = ["1", "0", "0", "0", "0.8", "0.6"]
CASES: dict[str, Case] = {
    "mixed orientation": Case(
        some(slice(0, None, 2), ImageOrientationPatient=_TILTED), "not-axial", ("oblique", "Send the axial")
    ),
    "tilted gantry": Case(
        moved(lambda i, p: [p[0], p[1] + 0.9 * i, p[2]]), "tilted-gantry", ("0.90 mm", "without tilt")
    ),
    "gap": Case(lambda d: d[:12] + d[15:], "gap-in-stack", ("About 3 slices", "Send the missing slices")),
    "doubled": Case(twice, "duplicate-positions", ("36 slice positions", "AcquisitionNumber")),
    "uneven": Case(moved(lambda i, p: [*p[:2], p[2] + i % 2]), "uneven-spacing", ("4.00 to 6.00 mm", "evenly spaced")),
    "one slice": Case(lambda d: d[:1], "too-few-slices", ("1 slice,", "whole series")),
    "no number for a place": Case(
        some(slice(3, 4), ImagePositionPatient=["nan", "0", "0"]), "no-geometry", ("absent", "ImagePositionPatient")
    ),
    "far away": Case(some(slice(3, 4), ImagePositionPatient=["0", "0", "1e9"]), "no-geometry", ("impossible",)),
    "no orientation": Case(every(ImageOrientationPatient=None), "no-geometry", ("orientation", "ImageOrientation")),
    "sizes differ": Case(narrower, "thickness", ("Slices of 10 mm",)),
    "enhanced": Case(enhanced, "multi-frame", ("multi-frame", "single-frame")),
    "private class": Case(of_class("1.2.826.0.1.3680043.8.498.99.1"), "not-ct-image", ("Not a CT image",)),
    "unknown class": Case(of_class("1.2.840.10008.5.1.4.1.1.2.999"), "not-ct-image", ("Not a CT image",)),
    "head": Case(every(BodyPartExamined="HEAD"), "not-chest", ("HEAD", "Body Part Examined")),
    "pixels cut off": Case(
        pixels_of_one(lambda n: n // 2), None, ("instance 5 (", "Explicit VR", "Send the series again")
    ),
    "pixels empty": Case(pixels_of_one(lambda _: 0), None, ("instance 5 (", "Send the series again")),
    "stream cut off": Case(list, None, ("instance 5 (", "JPEG Lossless", "Send the series again"), after=cut_stream),
    "slope 0": Case(some(slice(7, 8), RescaleSlope="0"), None, ("instance 8 (", "Rescale Slope", "Hounsfield")),
    "no slope": Case(every(RescaleSlope=None), None, ("Rescale Slope", "absent", "Hounsfield")),
    "no spacing": Case(every(PixelSpacing=["0", "0"]), None, ("pixel spacing", "PixelSpacing")),
    "no lungs": Case(every(PixelData=bytes(2 * 32 * 32)), None, ("150 mL", "axial chest CT")),
    "bases not scanned": Case(lambda d: d[22:], None, ("lowest slice", "cm2", "Send a scan"), lungs=True),
}


def write_cases(folder: Path) -> dict[str, list[Path]]:
    """Write every study into a folder of its own; return their files by name."""
    small = make_chest(slices=36, rows=32, columns=32, spacing_mm=(5.0, 9.0, 9.0))
    breathing = make_chest(**BREATHING)
    return {
        name: _write(folder / name.replace(" ", "-"), name, breathing if case.lungs else small, case)
        for name, case in CASES.items()
    }


def _write(folder: Path, name: str, chest: ChestPhantom, case: Case) -> list[Path]:
    with pydicom.config.disable_value_validation():
        datasets = case.change(to_datasets(chest, uid_entropy=name, **PATIENT))
        paths = write(folder, datasets)
    if case.after:
        case.after(paths)
    return paths


def study_uid(paths: Iterable[Path]) -> str:
    """Return the Study Instance UID of files."""
    return str(pydicom.dcmread(next(iter(paths)), specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
