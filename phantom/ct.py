"""A synthetic chest CT with known truth: body, rib cage, mediastinum, airways, lungs, opacity, stomach gas, table.

The anatomy is defined in mm in one frame of reference (LPS, origin in the middle of the body at its lower end), the
grid only samples it: two phantoms of one seed with other spacing are two reconstructions of one patient.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.vessels import draw_vessels

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

HEIGHT_MM = 288.0
_AIR, _FAT, _MUSCLE, _ORGAN, _BLOOD, _BONE, _TABLE = -1000.0, -100.0, 50.0, 55.0, 42.0, 700.0, -350.0
_GROUND_GLASS, _CONSOLIDATION = -480.0, 30.0
_PLEURA_TO_RIB_MM = 4.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChestPhantom:
    """A chest CT and what is in it.

    Attributes
    ----------
    hounsfield : ndarray of int16, shape (slices, rows, columns)
        In Hounsfield units, from feet to head; rows run to posterior, columns to the patient's left (LPS, axial).
    right_lung, left_lung : ndarray of bool, same shape
        Whole lungs, with vessels and opacity, without trachea and main bronchi.
    opacity : ndarray of bool, same shape
        Consolidation and ground glass, within the lungs.
    airway, stomach_gas : ndarray of bool, same shape
        Air that is no lung: trachea and main bronchi; the bubble under the left diaphragm.
    spacing_mm : tuple of 3 float
        Between slices, rows and columns.
    origin_mm : tuple of 3 float
        Centre of the first voxel, LPS (x, y, z).
    """

    hounsfield: NDArray[np.int16]
    right_lung: Mask
    left_lung: Mask
    opacity: Mask
    airway: Mask
    stomach_gas: Mask
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Patient coordinates in mm, shaped to broadcast to (slices, rows, columns)."""

    x: Floats
    y: Floats
    z: Floats

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        return float(self.x.flat[0]), float(self.y.flat[0]), float(self.z.flat[0])


def make_chest(
    *,
    slices: int = 72,
    rows: int = 256,
    columns: int = 256,
    spacing_mm: tuple[float, float, float] = (4.0, 1.4, 1.4),
    opacity: bool = True,
    seed: int = 7,
) -> ChestPhantom:
    """Make a chest.

    Parameters
    ----------
    slices, rows, columns : int
        Size of the grid. It is centred on the chest, which is 336 mm wide, 240 mm deep and 288 mm high.
    spacing_mm : tuple of 3 float
        Between slices, rows and columns.
    opacity : bool
        Plant dependent consolidation with ground glass around it in both lungs.
    seed : int
        Of vessels and noise.

    Returns
    -------
    ChestPhantom
        The same for the same arguments.
    """
    random = np.random.default_rng(seed)
    grid = _grid((slices, rows, columns), spacing_mm)
    airway = _airway(grid)
    right, left = (_lung(grid, side) & ~airway for side in (-1, 1))
    lungs = right | left
    stomach_gas = _ellipsoid(grid, (62, -25, 51), (28, 20, 16))
    consolidation, ground_glass = _opacity(grid, lungs) if opacity else (np.zeros_like(lungs), np.zeros_like(lungs))

    hounsfield = _body(grid)
    parenchyma = np.broadcast_to(-850 + 50 * grid.y / 90, lungs.shape)
    np.copyto(hounsfield, parenchyma, where=lungs)
    draw_vessels(hounsfield, lungs, spacing_mm, grid.origin_mm, random=np.random.default_rng(seed))
    hounsfield[ground_glass] = np.maximum(hounsfield[ground_glass], _GROUND_GLASS)
    hounsfield[consolidation] = _CONSOLIDATION
    hounsfield[airway | stomach_gas] = _AIR
    noise = random.standard_normal(lungs.shape, dtype=np.float32)
    hounsfield += noise * np.where(lungs & ~consolidation, np.float32(90), np.float32(35))
    return ChestPhantom(
        hounsfield=np.rint(_blurred(hounsfield)).clip(-1024, 3071).astype(np.int16),
        right_lung=right,
        left_lung=left,
        opacity=consolidation | ground_glass,
        airway=airway,
        stomach_gas=stomach_gas,
        spacing_mm=spacing_mm,
        origin_mm=grid.origin_mm,
    )


def _grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> _Grid:
    z, y, x = ((np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing_mm, strict=True))
    return _Grid(
        x.astype(np.float32)[None, None, :],
        y.astype(np.float32)[None, :, None],
        (z + HEIGHT_MM / 2).astype(np.float32)[:, None, None],
    )


def _cage(grid: _Grid, inset_mm: float) -> tuple[Floats, Floats]:
    """Half axes of the thorax in every slice, in mm: straight below, tapering to the apex."""
    above = np.clip((grid.z - 150) / 118, 0, 1)
    taper = np.sqrt(1 - above**2)
    return np.maximum(132 * taper - inset_mm, 0.1), np.maximum(92 * taper - inset_mm, 0.1)


def _ellipse(grid: _Grid, half_axes: tuple[Floats | float, Floats | float]) -> Floats:
    """Distance from the midline as a share of the ellipse's own: below 1 inside."""
    radius: Floats = np.sqrt((grid.x / half_axes[0]) ** 2 + (grid.y / half_axes[1]) ** 2)
    return radius


def _ellipsoid(grid: _Grid, centre_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> Mask:
    (x, y, z), (a, b, c) = centre_mm, radii_mm
    inside: Mask = ((grid.x - x) / a) ** 2 + ((grid.y - y) / b) ** 2 + ((grid.z - z) / c) ** 2 < 1
    return inside


def _cylinder(grid: _Grid, x: float, y: float, radius_mm: float) -> Mask:
    return (grid.x - x) ** 2 + (grid.y - y) ** 2 < radius_mm**2


def _mediastinum(grid: _Grid) -> Mask:
    column = ((grid.x - 2) / 30) ** 2 + ((grid.y - 12) / 62) ** 2 < 1
    septum = np.abs(grid.x) < 5
    gutter = (np.abs(grid.x) < 22) & (grid.y > 68)
    heart = _ellipsoid(grid, (26, -28, 108), (52, 42, 48))
    return column | septum | gutter | heart | _aorta(grid)


def _aorta(grid: _Grid) -> Mask:
    return _cylinder(grid, 28, 52, 13) & (grid.z < 195)


def _diaphragm(grid: _Grid, side: int) -> Floats:
    """Height of the dome, in mm: steep to the posterior and lateral recess, shallow to the front."""
    top = 85 if side < 0 else 75
    behind, before = np.clip(grid.y + 5, 0, None), np.clip(-grid.y - 5, 0, None)
    lateral, medial = np.clip(side * grid.x - 65, 0, None), np.clip(65 - side * grid.x, 0, None)
    fall = (lateral**2 + 0.3 * medial**2 + behind**2 + 0.3 * before**2) / 60
    return np.maximum(top - fall, 22)


def _lung(grid: _Grid, side: int) -> Mask:
    thorax = _ellipse(grid, _cage(grid, _PLEURA_TO_RIB_MM)) < 1
    own_half = grid.x * side > 0
    return thorax & own_half & ~_mediastinum(grid) & (grid.z > _diaphragm(grid, side)) & (grid.z < 255)


def _airway(grid: _Grid) -> Mask:
    trachea = _cylinder(grid, 0, 14, 8.5) & (grid.z > 168)
    return trachea | _bronchus(grid, -1) | _bronchus(grid, 1)


def _bronchus(grid: _Grid, side: int) -> Mask:
    """Draw a tube from the carina to just inside the lung."""
    start, end = np.array([0.0, 14.0, 170.0]), np.array([side * 34.0, 18.0, 146.0])
    axis = end - start
    along = (grid.x - start[0]) * axis[0] + (grid.y - start[1]) * axis[1] + (grid.z - start[2]) * axis[2]
    share = np.clip(along / (axis @ axis), 0, 1)
    x, y, z = (start[i] + share * axis[i] for i in range(3))
    inside: Mask = (grid.x - x) ** 2 + (grid.y - y) ** 2 + (grid.z - z) ** 2 < 6.5**2
    return inside


def _opacity(grid: _Grid, lungs: Mask) -> tuple[Mask, Mask]:
    """Consolidation on the posterior wall of both lungs, and the ground glass around it."""
    a, b = _cage(grid, _PLEURA_TO_RIB_MM)
    depth = b * np.sqrt(np.clip(1 - (grid.x / a) ** 2, 0, 1)) - grid.y
    right = 30 * np.exp(-(((grid.z - 115) / 35) ** 2) - (((grid.x + 68) / 45) ** 4))
    left = 24 * np.exp(-(((grid.z - 122) / 32) ** 2) - (((grid.x - 82) / 38) ** 4))
    thickness = np.where(grid.x < 0, right, left)
    consolidation = lungs & (depth < thickness) & (thickness > 4)
    ground_glass = lungs & (depth < 1.9 * thickness) & (thickness > 3) & ~consolidation
    return consolidation, ground_glass


def _body(grid: _Grid) -> Floats:
    """Everything but the lungs, in Hounsfield units."""
    shape = np.broadcast_shapes(grid.x.shape, grid.y.shape, grid.z.shape)
    hounsfield = np.full(shape, _AIR, dtype=np.float32)
    hounsfield[np.broadcast_to(_table(grid), shape)] = _TABLE
    for half_axes, value in (((168.0, 120.0), _FAT), ((156.0, 108.0), _MUSCLE)):
        hounsfield[np.broadcast_to(_ellipse(grid, half_axes) < 1, shape)] = value
    thorax = _ellipse(grid, _cage(grid, _PLEURA_TO_RIB_MM)) < 1
    hounsfield[thorax] = _ORGAN
    hounsfield[thorax & _mediastinum(grid) & (grid.z > 60)] = _BLOOD
    hounsfield[thorax & np.broadcast_to((np.abs(grid.x) < 20) & (grid.y < -52), shape) & (grid.z > 90)] = _FAT
    hounsfield[_bones(grid)] = _BONE
    return hounsfield


def _table(grid: _Grid) -> Mask:
    return (np.abs(grid.y - 126 - 8 * (1 - (grid.x / 170) ** 2)) < 3) & (np.abs(grid.x) < 170)


def _bones(grid: _Grid) -> Mask:
    """Twelve slanting ribs a side around the thorax, spine and sternum."""
    a, b = _cage(grid, 0.0)
    outside_mm = (_ellipse(grid, (a, b)) - 1) * np.minimum(a, b)
    # A rib falls by 90 mm from the spine to the front; ribs follow each other every 22 mm.
    fall_mm = 45 * (1 - grid.y / b)
    rib = (np.mod(grid.z + fall_mm, 22) < 11) & (outside_mm > -0.5) & (outside_mm < 7) & (np.abs(grid.x) > 30)
    spine = _cylinder(grid, 0, 80, 16) | ((np.abs(grid.x) < 4) & (grid.y > 80) & (grid.y < 106))
    sternum = (np.abs(grid.x) < 16) & (grid.y < -b) & (grid.y > -b - 9) & (grid.z > 100) & (grid.z < 240)
    return (rib & (grid.z > 12)) | spine | sternum


def _blurred(hounsfield: Floats) -> Floats:
    """Blur by one pixel within the slice: the scanner's point spread, which makes partial volume at every edge."""
    for axis in (1, 2):
        ahead, behind = np.roll(hounsfield, 1, axis), np.roll(hounsfield, -1, axis)
        hounsfield = np.float32(0.5) * hounsfield + np.float32(0.25) * (ahead + behind)
    return hounsfield
