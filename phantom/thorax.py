"""A chest for radiographs, upright and in full inspiration: body, lungs, heart, diaphragm, gas, sampled in space.

Lengths in mm of a patient of average size, LPS (x to the left, y to posterior, z to the head), origin in the middle of
the chest. A patient of another size is this one, stretched by `phantom.cxr`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Axis = Literal["frontal", "lateral"]

STEP_MM = 2.0
EXTENT_MM = 240.0
_ALONG_MM = 3.0  # step along the ray
_DEPTH_MM = 150.0
_LUNG_DENSITY = 0.22
_OPACITY_EDGE = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Opacity:
    """An ellipsoid of denser lung, fading towards its surface.

    Attributes
    ----------
    centre_mm, radii_mm : tuple of 3 float
        In the frame of the average patient, LPS: (x, y, z).
    density : float
        What it adds to the lung's own density, relative to water: 0.3 is ground glass, 0.75 consolidation.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    density: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Anatomy:
    """What differs between patients beside their size.

    Attributes
    ----------
    heart : float
        Its size; 1 is average.
    breath_mm : float
        How much higher than in full inspiration the diaphragm stands.
    fat_mm : float
        Added around the body.
    breast_mm : float
        How far breasts stand out.
    """

    heart: float = 1.0
    breath_mm: float = 0.0
    fat_mm: float = 6.0
    breast_mm: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Thickness:
    """What a ray meets: path lengths in mm, float (rows, columns), every `STEP_MM`; rows run from head to feet.

    Attributes
    ----------
    water : ndarray
        Of water that would attenuate as much as all soft tissue and air.
    cage : ndarray
        Within the pleurae, whatever is there.
    right_field, left_field : ndarray
        Of a side's lung, and of heart and great vessels as far as they stand out into it.
    lungs : ndarray
        Of lung.
    opacity : ndarray
        Of water that all planted opacities add within the lungs.
    """

    water: Floats
    cage: Floats
    right_field: Floats
    left_field: Floats
    lungs: Floats
    opacity: Floats


@dataclass(frozen=True, slots=True)
class _Grid:
    """Coordinates in mm, shaped to broadcast to (z from head to feet, y, x)."""

    x: Floats
    y: Floats
    z: Floats


def project(anatomy: Anatomy, opacities: Sequence[Opacity], axis: Axis) -> Thickness:
    """Sample the chest and add it up along y (frontal) or x (lateral)."""
    grid = _grid(axis)
    cage = _cage(grid)
    core, heart = _core(grid), _heart_and_vessels(grid, anatomy.heart)
    np.subtract(1, heart, out=heart)
    right_field, left_field = (
        np.minimum(np.minimum(cage, 1 - core), _above_diaphragm(grid, side, anatomy.breath_mm)) * (grid.x * side > 0)
        for side in (-1, 1)
    )
    lungs = np.minimum(right_field + left_field, heart)
    density = np.maximum(_body(grid, anatomy, axis), cage)
    density -= (1 - _LUNG_DENSITY) * lungs
    density -= np.minimum(_gas(grid, anatomy.breath_mm), 1 - lungs)
    opaque = np.zeros_like(lungs)
    for opacity in opacities:
        _paint(opaque, grid, opacity.centre_mm, opacity.radii_mm, opacity.density, edge=_OPACITY_EDGE)
    opaque *= lungs
    density += opaque

    def through(layer: Floats) -> Floats:
        return np.asarray(layer.sum(1 if axis == "frontal" else 2) * np.float32(_ALONG_MM))

    return Thickness(
        water=through(density),
        cage=through(cage),
        right_field=through(right_field),
        left_field=through(left_field),
        lungs=through(lungs),
        opacity=through(opaque),
    )


def cage_half_axes(z: Floats) -> tuple[Floats, Floats]:
    """Half axes of the pleural cavity, left to right and front to back, at a height: a barrel that closes on top."""
    upper = np.clip((z + 100) / 226, 0, 0.9999)
    lower = np.clip((-z - 100) / 100, 0, 1)
    return (137 - 8 * lower**2) * np.sqrt(1 - upper**3.4), 94 * np.sqrt(1 - (0.97 * upper) ** 4)


def _grid(axis: Axis) -> _Grid:
    depth, across = (_ALONG_MM, STEP_MM) if axis == "frontal" else (STEP_MM, _ALONG_MM)
    x, y = _centres(EXTENT_MM, across), _centres(_DEPTH_MM if axis == "frontal" else EXTENT_MM, depth)
    return _Grid(x[None, None, :], y[None, :, None], _centres(EXTENT_MM, STEP_MM)[::-1, None, None])


def _centres(extent_mm: float, step: float) -> Floats:
    return (np.arange(-extent_mm, extent_mm, step) + step / 2).astype(np.float32)


def _soft(distance_mm: Floats) -> Floats:
    """Share of a sample that lies inside, from the distance to the surface (negative inside): no staircase edges."""
    inside: Floats = np.clip(np.float32(0.5) - distance_mm * np.float32(1 / _ALONG_MM), 0, 1)
    return inside


def _paint(
    volume: Floats,
    grid: _Grid,
    centre_mm: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
    value: float = 1.0,
    *,
    lean: float = 0.0,
    edge: float = 0.0,
) -> None:
    """Put an ellipsoid into a volume.

    Parameters
    ----------
    volume, grid
        Samples, changed where less dense than this; and where they are.
    centre_mm, radii_mm : tuple of 3 float
        LPS: (x, y, z).
    value : float
        Density inside.
    lean : float
        Degrees by which its upper end is turned to the patient's right.
    edge : float
        Share of the radii over which it fades out; 0 is as sharp as the samples can tell.
    """
    x, y, z = (np.float32(v) for v in centre_mm)
    a, b, c = (np.float32(v) for v in radii_mm)
    reach = (max(a, c) if lean else a), b, (max(a, c) if lean else c)
    box = tuple(
        slice(*np.searchsorted(sign * axis.ravel(), (sign * middle - far - _ALONG_MM, sign * middle + far + _ALONG_MM)))
        for axis, middle, far, sign in ((grid.z, z, reach[2], -1), (grid.y, y, b, 1), (grid.x, x, reach[0], 1))
    )
    sine, cosine = np.float32(np.sin(np.radians(lean))), np.float32(np.cos(np.radians(lean)))
    across, up = grid.x[:, :, box[2]] - x, grid.z[box[0]] - z
    square = ((across * cosine + up * sine) / a) ** 2 + ((up * cosine - across * sine) / c) ** 2
    radius = np.sqrt(square + ((grid.y[:, box[1]] - y) / b) ** 2)
    inside = np.clip((1 - radius) / np.float32(edge), 0, 1) if edge else _soft((radius - 1) * min(a, b, c))
    np.maximum(volume[box], np.float32(value) * inside, out=volume[box])


def _column(grid: _Grid, x: float, y: float, half_axes: tuple[Floats | float, Floats | float]) -> Floats:
    a, b = (np.asarray(half_axis, dtype=np.float32) for half_axis in half_axes)
    radius = np.sqrt(((grid.x - np.float32(x)) / a) ** 2 + ((grid.y - np.float32(y)) / b) ** 2)
    return _soft((radius - 1) * np.minimum(a, b))


def _cage(grid: _Grid) -> Floats:
    return _column(grid, 0, 0, cage_half_axes(grid.z)) * (grid.z > -220)


def _core(grid: _Grid) -> Floats:
    """Return what lies in the middle, wider towards the neck, and the spine."""
    half_width = 23 + 46 * np.clip((grid.z - 55) / 70, 0, 1) ** 4
    core = _column(grid, 0, 5, (half_width, 70))
    return np.maximum(core, _column(grid, 0, 82, (27, 30)), out=core)


def _heart_and_vessels(grid: _Grid, size: float) -> Floats:
    """Return left ventricle with its apex to the left and down, right atrium, aorta, pulmonary trunk, upper cava."""
    volume = np.zeros(np.broadcast_shapes(grid.x.shape, grid.y.shape, grid.z.shape), np.float32)
    _paint(volume, grid, (28 * size, -28, -62), (42 * size, 44 * size, 70 * size), lean=36)
    _paint(volume, grid, (-8, -10, -56), (33 * size, 40 * size, 54 * size), lean=-6)
    _paint(volume, grid, (16, 15, 46), (19, 45, 22))
    _paint(volume, grid, (20, -12, 8), (18, 28, 34), lean=8)
    _paint(volume, grid, (-14, -15, 20), (15, 14, 80))
    aorta = np.minimum(_column(grid, 24, 56, (12, 12)), _soft(grid.z - 55))
    return np.maximum(volume, aorta, out=volume)


def _above_diaphragm(grid: _Grid, side: int, breath_mm: float) -> Floats:
    """Above a dome that falls steeply to the posterior and lateral recess and gently to the front and the heart."""
    top = (-88 if side < 0 else -101) + breath_mm
    behind, before = np.clip(grid.y - 15, 0, None), np.clip(-grid.y - 25, 0, None)
    lateral, medial = np.clip(side * grid.x - 62, 0, None), np.clip(62 - side * grid.x, 0, None)
    fall = (lateral**2 / 85 + medial**2 / 170) + (behind**2 / 80 + before**2 / 130)
    return _soft((top - grid.z) * np.float32(0.8) - fall * np.float32(0.8))


def _gas(grid: _Grid, breath_mm: float) -> Floats:
    """Return the stomach's bubble and some gas in the colon's flexures."""
    volume = np.zeros(np.broadcast_shapes(grid.x.shape, grid.y.shape, grid.z.shape), np.float32)
    _paint(volume, grid, (70, -20, -156 + breath_mm), (24, 20, 12), 0.6, lean=-12)
    _paint(volume, grid, (102, 10, -184 + breath_mm), (18, 18, 20), 0.6)
    _paint(volume, grid, (-88, -10, -204 + breath_mm), (30, 16, 13), 0.6)
    return volume


def _body(grid: _Grid, anatomy: Anatomy, axis: Axis) -> Floats:
    """Return trunk with breasts, shoulders and neck; in the frontal view also arms, which a lateral view has raised."""
    fat = np.float32(anatomy.fat_mm)
    shoulder = 1 - np.clip((grid.z - 75) / 110, 0, 1) ** 1.5
    waist = np.clip((-grid.z - 60) / 180, 0, 1)
    across, along = (grid.x * np.sign(grid.x) - 78) / 60, (grid.z + 62) / 48
    breast = np.sqrt(np.clip(1 - across**2 - np.where(along > 0, along / 2.2, along) ** 2, 0, 1))
    front = np.where(grid.y < 0, np.float32(anatomy.breast_mm) * breast * np.where(along > 0, 1 / (1 + along), 1), 0)
    neck = 52 + fat / 2
    wide, deep = neck + (105 + fat / 2 - 6 * waist) * shoulder, 52 + (60 + fat) * shoulder + front
    # A trunk is between an ellipse and a box: of third power. Near its surface this is the distance from it.
    trunk = _soft((np.abs(grid.x / wide) ** 3 + np.abs(grid.y / deep) ** 3 - 1) * np.minimum(wide, deep) / 3)
    if axis == "frontal":
        for side in (-1, 1):
            _paint(trunk, grid, (side * 160, 5, 66), (50 + anatomy.fat_mm / 2, 50, 62))
            _paint(trunk, grid, (side * 212, 0, -30), (46 + anatomy.fat_mm / 2, 46, 150), lean=side * -8)
    return trunk
