"""The RSNA Pneumonia Detection Challenge (2018), as Kaggle distributes it: boxes around opacity on 26,684 X-rays.

``stage_2_train_labels.csv`` has a row for each box, or one without numbers; ``stage_2_detailed_class_info.csv`` says of
each image whether it is normal; ``stage_2_train_images`` holds ``patientId.dcm``. The challenge numbers images, not
patients: those of one patient are told only by ``pneumonia-challenge-dataset-mappings_2018.json``, which RSNA
distributes beside it. Where it lies in the folder, it is used.

References
----------
Shih et al., Radiology: Artificial Intelligence 2019, 1(1):e180041.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.images.labelled import Images, ImagesError, LabelledImage
from training.images.tables import AtRowError, BadRowError, Row, box_of, by, gathered, header_of, rows_of

ORIGIN = "RSNA Pneumonia Detection Challenge 2018, stage 2"
LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_FOLDER = "stage_2_train_images"
_OPAQUE = "Lung Opacity"
_FINDINGS = {_OPAQUE, "No Lung Opacity / Not Normal", "Normal"}
_NUMBERS = ("x", "y", "width", "height")
_UNMAPPED = (
    f"{MAPPING} is not there: each image counts as a patient of its own, though some patients of this data set have "
    "several. Numbers on the held-out fold may be too good."
)


def read(folder: Path) -> Images:
    """Read the folder.

    Raises
    ------
    ImagesError
        If a table is missing or is another one, or no image can be used.
    """
    boxes = rows_of(folder / LABELS, ("patientId", *_NUMBERS, "Target"))
    classes = by(rows_of(folder / CLASSES, ("patientId", "class")), _name)
    patients = _patients(folder / MAPPING)

    def image_of(name: str, rows: Sequence[Row]) -> LabelledImage:
        is_opaque = _is_opaque(rows)
        finding = _finding(classes.get(name, ()), is_opaque=is_opaque)
        found = tuple(box_of(row, name="opacity") for row in rows) if is_opaque else ()
        path = folder / _FOLDER / f"{name}.dcm"
        header_of(path, found, rows)
        patient = patients.get(name, name)
        return LabelledImage(name=name, patient=patient, path=path, finding=finding, is_opaque=is_opaque, boxes=found)

    named = by(boxes, _name)
    usable, left_out = gathered(named, LABELS, image_of)
    lacking = len(set(classes) - set(named))
    unlabelled = (f"{lacking} images of {CLASSES} are not in {LABELS}.",) if lacking else ()
    return Images(
        origin=ORIGIN,
        place=folder,
        usable=tuple(usable),
        left_out=tuple(left_out),
        notes=(*unlabelled, *(() if patients else (_UNMAPPED,))),
    ).checked()


def _name(row: Row) -> str:
    return row.said["patientId"]


def _is_opaque(rows: Sequence[Row]) -> bool:
    for row in rows:
        if row.said["Target"] not in ("0", "1"):
            raise AtRowError("Target is neither 0 nor 1", row.number)
        if row.said["Target"] == "0" and any(row.said[part] for part in _NUMBERS):
            raise AtRowError("Target is 0, and there is a box", row.number)
        if row.said["Target"] == "1" and not all(row.said[part] for part in _NUMBERS):
            raise AtRowError("Target is 1, and there is no whole box", row.number)
    targets = {row.said["Target"] for row in rows}
    if len(targets) > 1:
        raise BadRowError("some of its rows say that there is opacity, some that there is none")
    return targets == {"1"}


def _finding(rows: Sequence[Row], *, is_opaque: bool) -> str:
    findings = {row.said["class"] for row in rows}
    if len(findings) != 1 or not findings <= _FINDINGS:
        raise BadRowError(f"{CLASSES} says {' and '.join(sorted(findings)) or 'nothing'} of it")
    (finding,) = findings
    if (finding == _OPAQUE) != is_opaque:
        raise BadRowError(f"{CLASSES} calls it {finding}, and its boxes say otherwise")
    return finding


def _patients(path: Path) -> Mapping[str, str]:
    """Return the patient of the NIH's data set, from which the images come, of each image."""
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {one["subset_img_id"]: one["img_id"].partition("_")[0] for one in listed}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ImagesError(f"{path} does not list subset_img_id and img_id; take it away, or fetch it again") from error
