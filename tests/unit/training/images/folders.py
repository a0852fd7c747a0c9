"""Folders in the layouts in which Kaggle distributes data sets, with a handful of images that were never taken."""

import csv
import json
from pathlib import Path

import numpy as np

from phantom.cxr import RadiographPhantom
from phantom.cxr_dicom import to_dataset

SIZE = (60, 80)
RSNA_LABELS = [
    ("clear", "", "", "", "", "0"),
    ("dense", "10.0", "20.0", "30.5", "12.0", "1"),
    ("dense", "50.0", "5.0", "20.0", "40.0", "1"),
    ("sick", "", "", "", "", "0"),
]
SICK = "No Lung Opacity / Not Normal"
RSNA_CLASSES = [("clear", "Normal"), ("dense", "Lung Opacity"), ("dense", "Lung Opacity"), ("sick", SICK)]
SIIM_STUDIES = [("s1_study", 0, 1, 0, 0), ("s2_study", 1, 0, 0, 0), ("s3_study", 0, 0, 0, 1)]
SIIM_IMAGES = [
    ("a_image", "[{'x': 10.5, 'y': 20.25, 'width': 30.0, 'height': 12.5}]", "opacity 1 10.5 20.25 40.5 32.75", "s1"),
    ("b_image", "", "none 1 0 0 1 1", "s2"),
    (
        "c_image",
        "[{'x': 1.0, 'y': 2.0, 'width': 3.0, 'height': 4.0}, {'x': 40.0, 'y': 2.0, 'width': 3.0, 'height': 4.0}]",
        "opacity 1 1.0 2.0 4.0 6.0 opacity 1 40.0 2.0 43.0 6.0",
        "s3",
    ),
    ("d_image", "", "none 1 0 0 1 1", "s1"),
]


def write_rsna(folder: Path, labels=RSNA_LABELS, classes=RSNA_CLASSES, mapping=None) -> Path:
    write_table(folder / "stage_2_train_labels.csv", ("patientId", "x", "y", "width", "height", "Target"), labels)
    write_table(folder / "stage_2_detailed_class_info.csv", ("patientId", "class"), classes)
    for name in {"clear", "dense", "sick"}:
        write_image(folder / "stage_2_train_images" / f"{name}.dcm", patient_id=name)
    if mapping is not None:
        listed = [{"subset_img_id": name, "img_id": f"{nih}_000.png"} for name, nih in mapping.items()]
        (folder / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(listed))
    return folder


def write_siim(folder: Path, studies=SIIM_STUDIES, images=SIIM_IMAGES) -> Path:
    classes = ("Negative for Pneumonia", "Typical Appearance", "Indeterminate Appearance", "Atypical Appearance")
    write_table(folder / "train_study_level.csv", ("id", *classes), studies)
    write_table(folder / "train_image_level.csv", ("id", "boxes", "label", "StudyInstanceUID"), images)
    for name, study in (("a", "s1"), ("b", "s2"), ("c", "s3"), ("d", "s1")):
        patient_id = "one" if study in ("s1", "s3") else "other"
        write_image(folder / "train" / study / f"series-{name}" / f"{name}.dcm", patient_id=patient_id)
    return folder


def write_table(path: Path, columns, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


def write_image(path: Path, **header) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE) % 4096
    nothing = np.zeros(SIZE, dtype=bool)
    phantom = RadiographPhantom(
        pixels=pixels, right_lung=nothing, left_lung=nothing, opacity=nothing, pixel_spacing_mm=4.0
    )
    to_dataset(phantom, **header).save_as(path, enforce_file_format=True)
    return path
