"""A plain folder: ``images/`` and, of the same names, ``masks/`` with the opacity that somebody outlined.

``patients.csv`` (``image,patient``) says which images are of one patient; else DICOM files are by their Patient ID, and
each picture counts as a patient of its own.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from training.images.labelled import Images, LabelledImage, Problem, mask_problem
from training.images.tables import BadRowError, header_of, rows_of

ORIGIN = "a folder of the site"
_PATIENTS = "patients.csv"
_SINGLE = "Pictures without a row in patients.csv count as patients of their own."


def read(folder: Path) -> Images:
    """Read the folder.

    Raises
    ------
    ImagesError
        If no image can be used.
    """
    paths = sorted(path for path in (folder / "images").glob("*") if path.is_file())
    patients = _patients(folder / _PATIENTS)
    usable, left_out, seen = [], [], set[str]()
    for path in paths:
        try:
            if path.stem in seen:
                raise BadRowError("another file has its name, and would have its mask")
            seen.add(path.stem)
            usable.append(_image(path, folder / "masks" / f"{path.stem}.png", patients))
        except BadRowError as error:
            left_out.append(Problem(file=f"images/{path.name}", row=None, why=str(error)))
    is_single = any(image.path.suffix.lower() != ".dcm" and image.name not in patients for image in usable)
    return Images(
        origin=ORIGIN,
        place=folder,
        usable=tuple(usable),
        left_out=tuple(left_out),
        notes=(_SINGLE,) if is_single else (),
    ).checked()


def _image(path: Path, mask: Path, patients: Mapping[str, str]) -> LabelledImage:
    if why := mask_problem(mask):
        raise BadRowError(f"{why}; a black one says that there is no opacity")
    patient = patients.get(path.stem, path.stem)
    if path.suffix.lower() == ".dcm":
        header = header_of(path, (), ())
        patient = patients.get(path.stem) or str(header.get("PatientID") or path.stem)
    with Image.open(mask) as drawn:
        is_opaque = bool((np.asarray(drawn.convert("L")) > 127).any())
    return LabelledImage(
        name=path.stem,
        patient=patient,
        path=path,
        finding="opacity" if is_opaque else "no opacity",
        is_opaque=is_opaque,
        mask=mask,
    )


def _patients(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    return {row.said["image"]: row.said["patient"] for row in rows_of(path, ("image", "patient"))}
