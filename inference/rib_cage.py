"""Consolidated lung: soft tissue between the aerated lung and the inner side of the rib cage, on the dependent side.

Second half of the classical lung mask (recipe D of the project's trials): consolidation is as dense as the chest
wall, so that only the ribs tell where the lung would end. Pleural effusion in the same place is filled likewise. Axes
ascend to head, posterior and left; the patient lies on the back.

References
----------
That ribs tell where a diseased lung ends: Prasad et al., Acad Radiol 2008;15:1173. The method and the distances below
are this project's, judged by eye on one CT.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

from inference.working_grid import WorkingGrid

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

BONE_HU = 220
RAY_GAP_MM = 45.0
COLUMN_GAP_MM = 50.0
MEDIAL_RIGHT_MM = 22.0
MEDIAL_LEFT_MM = 42.0
OPENING_MM = 4.0
MIN_CONTACT = 0.15
_RAYS = 180
_STEP_MM = 1.5
_BONE_REACH_MM = 10.0
_PLEURA_MM = 3.0
_MIN_PART_ML = 0.5
_FILL_HU = (-500, 150)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Polar:
    """Slices in rays around the middle of the thorax.

    Attributes
    ----------
    centre : tuple of 2 float
        Row and column, in blocks.
    rows, columns : ndarray, shape (rays, samples)
        Where the samples lie, in blocks.
    """

    centre: tuple[float, float]
    rows: Floats
    columns: Floats

    def sample(self, image: Mask) -> Mask:
        """Read the nearest block at every sample; False beyond the edge."""
        rows, columns = np.rint(self.rows).astype(int), np.rint(self.columns).astype(int)
        inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
        values = image[rows.clip(0, image.shape[0] - 1), columns.clip(0, image.shape[1] - 1)]
        found: Mask = values & inside
        return found


def fill_dependent(grid: WorkingGrid, right: Mask, left: Mask, excluded: Mask) -> tuple[Mask, Mask]:
    """Find the consolidated parts of both lungs.

    Parameters
    ----------
    grid : WorkingGrid
        Chest CT in Hounsfield units.
    right, left : ndarray of bool, shape (slices, rows, columns)
        Aerated lungs.
    excluded : ndarray of bool, same shape
        What is never lung.

    Returns
    -------
    right, left : tuple of 2 ndarray of bool, same shape
        What to add to either lung.
    """
    reach = 2 * round(_BONE_REACH_MM / grid.spacing_mm[0]) + 1
    bone = ndimage.maximum_filter1d((grid.hounsfield > BONE_HU).view(np.uint8), reach, axis=0).astype(bool)
    lungs = right | left
    polar = _rays(grid, lungs)
    lung_mm, wall_mm = _radii(lungs, bone, polar)
    cavity, shadow = _cavity_and_shadow(grid, polar, lung_mm, wall_mm)
    middle = _spine_column(grid, lungs)
    tissue = (grid.hounsfield > _FILL_HU[0]) & (grid.hounsfield < _FILL_HU[1])
    open_to_fill = cavity & tissue & ~lungs & ~excluded
    candidates = open_to_fill & (shadow | _below_lung(grid, lungs, cavity))
    x_mm = (np.arange(lungs.shape[2]) - middle) * grid.spacing_mm[2]
    parts = []
    for lung, own_side in ((right, x_mm < -MEDIAL_RIGHT_MM), (left, x_mm > MEDIAL_LEFT_MM)):
        fill = grid.opened((candidates & own_side) | lung, OPENING_MM) & candidates & own_side
        parts.append(_in_contact(grid, fill, lung))
    return parts[0], parts[1]


def _rays(grid: WorkingGrid, lungs: Mask) -> _Polar:
    _, row, column = (float(v) for v in ndimage.center_of_mass(lungs))
    _, rows_mm, columns_mm = grid.spacing_mm
    angle = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    longest_mm = float(np.hypot(lungs.shape[1] * rows_mm, lungs.shape[2] * columns_mm)) / 2
    radius_mm = np.arange(0, longest_mm, _STEP_MM)
    rows = row + np.outer(np.sin(angle), radius_mm) / rows_mm
    columns = column + np.outer(np.cos(angle), radius_mm) / columns_mm
    return _Polar(centre=(row, column), rows=rows, columns=columns)


def _radii(lungs: Mask, bone: Mask, polar: _Polar) -> tuple[Floats, Floats]:
    """Where the lung ends and the rib cage begins on every ray of every slice, in mm; NaN where neither is met."""
    lung_mm = np.full((len(lungs), _RAYS), np.nan)
    wall_mm = np.full((len(lungs), _RAYS), np.nan)
    for index in np.flatnonzero(lungs.any(axis=(1, 2))):
        on_lung, on_bone = polar.sample(lungs[index]), polar.sample(bone[index])
        samples = np.arange(on_lung.shape[1])
        last = np.where(on_lung, samples, -1).max(axis=1)
        beyond = on_bone & (samples >= np.maximum(last, 0)[:, None])
        first = beyond.argmax(axis=1)
        lung_mm[index] = np.where(last >= 0, last * _STEP_MM, np.nan)
        wall_mm[index] = np.where(beyond.any(axis=1), first * _STEP_MM - _PLEURA_MM, np.nan)
    return lung_mm, _smoothed(wall_mm)


def _smoothed(wall_mm: Floats) -> Floats:
    """Bridge rays between ribs, and take the median over 10 degrees and 3 slices."""
    for index, wall in enumerate(wall_mm):
        known = np.flatnonzero(~np.isnan(wall))
        if known.size:
            wall_mm[index] = np.interp(np.arange(_RAYS), known, wall[known], period=_RAYS)
    filled = ndimage.median_filter(np.nan_to_num(wall_mm), size=(3, 5), mode="wrap")
    return np.where(np.isnan(wall_mm), np.nan, filled)


def _cavity_and_shadow(grid: WorkingGrid, polar: _Polar, lung_mm: Floats, wall_mm: Floats) -> tuple[Mask, Mask]:
    """Inside of the rib cage, and within it what lies just beyond the lung on a ray."""
    shape = grid.hounsfield.shape
    cavity = np.zeros(shape, dtype=bool)
    y = (np.arange(shape[1]) - polar.centre[0])[:, None] * grid.spacing_mm[1]
    x = (np.arange(shape[2]) - polar.centre[1])[None, :] * grid.spacing_mm[2]
    radius_mm = np.hypot(y, x)
    ray = np.rint(np.arctan2(y, x) * (_RAYS / (2 * np.pi))).astype(int) % _RAYS
    shadow = np.zeros(shape, dtype=bool)
    angle = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    for index in np.flatnonzero(~np.isnan(wall_mm).all(axis=1)):
        wall, lung = wall_mm[index], lung_mm[index]
        rows = polar.centre[0] + np.sin(angle) * wall / grid.spacing_mm[1]
        columns = polar.centre[1] + np.cos(angle) * wall / grid.spacing_mm[2]
        cavity[index] = polygon2mask(shape[1:], np.column_stack([rows, columns]))
        near = wall - lung < RAY_GAP_MM
        shadow[index] = (near[ray] & (radius_mm >= lung[ray]) & (y > 0)) & cavity[index]
    return cavity, shadow


def _below_lung(grid: WorkingGrid, lungs: Mask, cavity: Mask) -> Mask:
    """Mark what lies between lung and posterior wall in its column, where the gap is short."""
    rows = np.arange(lungs.shape[1])[None, :, None]
    last_lung = np.where(lungs, rows, -1).max(axis=1, keepdims=True)
    last_cavity = np.where(cavity, rows, -1).max(axis=1, keepdims=True)
    short = (last_cavity - last_lung) * grid.spacing_mm[1] < COLUMN_GAP_MM
    below: Mask = (last_lung >= 0) & short & (rows > last_lung) & cavity
    return below


def _spine_column(grid: WorkingGrid, lungs: Mask) -> float:
    """Column of the spine, in blocks: where most bone lies in the posterior half between the lungs."""
    _, y, x = (int(v) for v in ndimage.center_of_mass(lungs))
    columns_mm = grid.spacing_mm[2]
    reach = round(60 / columns_mm)
    held = lungs.any(axis=(1, 2))
    bone = (grid.hounsfield[held, y:, max(x - reach, 0) : x + reach] > BONE_HU).sum(axis=(0, 1)).astype(float)
    density = ndimage.gaussian_filter1d(bone, 12 / columns_mm)
    return float(max(x - reach, 0) + density.argmax())


def _in_contact(grid: WorkingGrid, fill: Mask, lung: Mask) -> Mask:
    """Drop parts that are small, or whose surface touches the lung too little to be a part of it."""
    labels, count = ndimage.label(fill)
    kept = np.zeros(count + 1, dtype=bool)
    touching_lung = ndimage.binary_dilation(lung, iterations=1)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        wider = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        part = labels[wider] == label
        surface = part & ~ndimage.binary_erosion(part)
        contact = (surface & touching_lung[wider]).sum() / surface.sum()
        kept[label] = grid.millilitres(part) >= _MIN_PART_ML and contact >= MIN_CONTACT
    parts: Mask = kept[labels]
    return parts
