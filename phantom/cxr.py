"""A synthetic chest X-ray with known truth: a chest in three dimensions, projected, developed like a film.

See Also
--------
phantom.thorax, phantom.skeleton : the chest.
phantom.film : what the detector makes of it.
phantom.cxr_dicom : its DICOM.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phantom import skeleton, thorax
from phantom.film import Processing, add_letter, develop
from phantom.thorax import EXTENT_MM, Anatomy, Axis, Floats, Opacity, Thickness

Mask = NDArray[np.bool_]
_TUBES_STEP_MM = 0.7
_CENTRE_MM = 15.0  # of the image, below the middle of the chest
_LUNG_SHARE, _OPACITY_MM = 0.8, 5.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RadiographPhantom:
    """A chest radiograph and what is in it.

    Attributes
    ----------
    pixels : ndarray of uint16, shape (rows, columns)
        12 bit display values, bright is dense (MONOCHROME2); rows run to the feet, columns to the patient's left
        (frontal) or to posterior (lateral).
    right_lung, left_lung : ndarray of bool, same shape
        Lung fields as radiologists outline them: where lung makes up at least 80 % of the ray's way within the
        pleurae, which ends them at the silhouettes of diaphragm and mediastinum. Heart and great vessels count as
        lung as far as they stand out into it: the retrocardiac area belongs to the field. Empty in a lateral view.
    opacity : ndarray of bool, same shape
        Where planted opacity adds as much to a ray as 5 mm of water do, within the lung fields. Empty in a lateral
        view.
    pixel_spacing_mm : float
        In the patient's plane: the beam is parallel.
    """

    pixels: NDArray[np.uint16]
    right_lung: Mask
    left_lung: Mask
    opacity: Mask
    pixel_spacing_mm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Patient:
    """Size relative to the average, how she stands before the detector, and what is in her."""

    width: float
    height: float
    depth: float
    shift_mm: tuple[float, float]
    tilt_degrees: float
    anatomy: Anatomy
    processing: Processing


def make_radiograph(
    *,
    rows: int = 1024,
    columns: int = 1024,
    spacing_mm: float = 0.36,
    opacity: bool | Sequence[Opacity] = True,
    axis: Axis = "frontal",
    letter: str = "L",
    seed: int = 7,
) -> RadiographPhantom:
    """Make a chest radiograph.

    Parameters
    ----------
    rows, columns : int
        Size of the image; the chest is in the middle.
    spacing_mm : float
        Of the pixels. The default shows 369 mm.
    opacity : bool or sequence of Opacity
        True plants one to three at random places; a sequence says what and where.
    axis : {'frontal', 'lateral'}
        PA, or left lateral with raised arms.
    letter : {'L', 'R', ''}
        Lead letter on that side of the patient; in a lateral view it only names the side next to the detector.
    seed : int
        Of the patient (size, heart, breath, fat), the processing, opacities, vessels and noise, each drawn from a
        stream of its own: the patient is the same with and without opacity.

    Returns
    -------
    RadiographPhantom
        The same for the same arguments.
    """
    patient = _draw_patient(np.random.default_rng([seed, 1]))
    opacities = _draw_opacities(np.random.default_rng([seed, 2])) if opacity is True else tuple(opacity or ())
    thickness = thorax.project(patient.anatomy, opacities, axis)
    place = _placing(patient, axis, (columns, rows), spacing_mm)
    right, left, planted = (place(layer) >= 0.5 for layer in _fields(thickness))
    water = place(thickness.water) + place(_tubes(thickness, axis, np.random.default_rng([seed, 3])))
    display = develop(
        patient.depth * water,
        place(thickness.lungs) > 0.5 * np.maximum(place(thickness.cage), 20),
        spacing_mm=spacing_mm,
        processing=patient.processing
        if axis == "frontal"
        else replace(patient.processing, equalisation=0.75, lung=0.42),
        random=np.random.default_rng([seed, 4]),
    )
    if letter:
        add_letter(display, letter, spacing_mm=spacing_mm)
    frontal = axis == "frontal"
    return RadiographPhantom(
        pixels=np.rint(4095 * display).astype(np.uint16),
        right_lung=right & frontal,
        left_lung=left & frontal,
        opacity=planted & (right | left) & frontal,
        pixel_spacing_mm=spacing_mm,
    )


def _draw_patient(random: np.random.Generator) -> _Patient:
    width, height, depth = random.normal(1, (0.05, 0.05, 0.07)).clip(0.85, 1.15)
    across, up, tilt = random.normal(0, (4, 6, 1.0))
    female = random.random() < 0.5
    anatomy = Anatomy(
        heart=float(np.clip(random.normal(1, 0.07), 0.85, 1.2)),
        breath_mm=float(random.uniform(-8, 14)),
        fat_mm=float(random.uniform(0, 18)),
        breast_mm=float(random.uniform(8, 30)) * female,
    )
    processing = Processing(
        equalisation=float(random.uniform(0.2, 0.45)),
        sharpening=float(random.uniform(0.2, 0.8)),
        noise=float(random.uniform(0.002, 0.005)),
        lung=float(random.uniform(0.24, 0.36)),
        middle=float(random.uniform(0.74, 0.86)),
    )
    return _Patient(
        width=float(width),
        height=float(height),
        depth=float(depth),
        shift_mm=(float(across), float(up)),
        tilt_degrees=float(tilt),
        anatomy=anatomy,
        processing=processing,
    )


def _draw_opacities(random: np.random.Generator) -> tuple[Opacity, ...]:
    """Draw one to three clusters of ellipsoids, most of them low and towards the back, where they are frequent."""
    found: list[Opacity] = []
    for _ in range(random.integers(1, 4)):
        side = random.choice((-1, 1))
        centre = np.array([side * random.uniform(50, 98), random.uniform(-15, 50), random.uniform(-75, 55)])
        density = float(random.uniform(0.35, 0.8))
        for _ in range(5):
            x, y, z = centre + random.normal(0, (11, 9, 11))
            a, b, c = random.uniform(12, 30, 3)
            found.append(Opacity(centre_mm=(x, y, z), radii_mm=(a, b, c), density=density))
    return tuple(found)


def _fields(thickness: Thickness) -> tuple[Floats, Floats, Floats]:
    """Scale what decides the masks so that 0.5 is their border."""
    way = np.maximum(thickness.cage, 6)
    right, left = (0.5 / _LUNG_SHARE * lung / way for lung in (thickness.right_field, thickness.left_field))
    return right, left, 0.5 / _OPACITY_MM * thickness.opacity


def _tubes(thickness: Thickness, axis: Axis, random: np.random.Generator) -> Floats:
    """Bones, airway and vessels in mm of water; vessels only as far as there is lung."""
    still = _bones_and_airway(axis)
    branching = skeleton.project(skeleton.vessels(random), axis, step_mm=_TUBES_STEP_MM)
    lungs = Image.fromarray(thickness.lungs).resize(still.shape[::-1])
    return still + branching * np.clip(np.asarray(lungs) / 60, 0, 1)


@cache
def _bones_and_airway(axis: Axis) -> Floats:
    return skeleton.project([*skeleton.bones(axis), *skeleton.airway()], axis, step_mm=_TUBES_STEP_MM)


def _placing(patient: _Patient, axis: Axis, size: tuple[int, int], spacing_mm: float) -> Callable[[Floats], Floats]:
    """Return what stretches a layer of the average chest to the patient and lays it under the image's pixels."""
    across = patient.width if axis == "frontal" else patient.depth
    sine, cosine = np.sin(np.radians(patient.tilt_degrees)), np.cos(np.radians(patient.tilt_degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    to_mm = spacing_mm * turn / [[across], [patient.height]]
    centre = np.add(patient.shift_mm, (0, _CENTRE_MM))

    def place(layer: Floats) -> Floats:
        step_mm = 2 * EXTENT_MM / len(layer)
        matrix = to_mm / step_mm
        origin = (centre + EXTENT_MM) / step_mm - matrix @ (np.array(size) / 2)
        (a, b), (d, e) = matrix
        affine = (a, b, origin[0], d, e, origin[1])
        image = Image.fromarray(layer).transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
        return np.asarray(image)

    return place
