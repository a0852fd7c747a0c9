"""The air of the lungs: what is dark inside the body, less trachea, main bronchi and bowel gas, split into two.

First half of the classical lung mask; `inference.rib_cage` adds what is not dark because it is consolidated. Axes
ascend to head, posterior and left; all arrays lie on a `WorkingGrid`.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its documentation uses
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from inference.findings import Refusal
from inference.working_grid import WorkingGrid

Mask = NDArray[np.bool_]

AIR_HU = -400
GAS_HU = -945
GAS_SD_HU = 25.0
MIN_LUNG_ML = 150.0
CLOSING_MM = 10.0
_TISSUE_HU = -200
_AIRWAY_HU = (-900, -920, -940, -960)
_MAX_AIRWAY_ML = 110.0
_MIN_GAS_ML = 1.5
_MAX_GAS_CONTACT = 0.5
_GAS_REACH_MM = 12.0
_GAS_RIM_HU = -930
_ISLAND_MM = 12.0
_MIN_ISLAND_ML = 0.3
_RIM_MM = 3.5
_RIM_REACH_MM = 20.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LungAir:
    """Aerated lungs and the air beside them, bool arrays on the working grid.

    Attributes
    ----------
    right, left : ndarray of bool, shape (slices, rows, columns)
        Closed by 10 mm, so that vessels are inside.
    excluded : ndarray of bool, same shape
        Trachea, main bronchi and bowel gas with their walls, air outside the body.
    """

    right: Mask
    left: Mask
    excluded: Mask


def find_lung_air(grid: WorkingGrid) -> LungAir | Refusal:
    """Find both aerated lungs, or say why they cannot be found.

    Parameters
    ----------
    grid : WorkingGrid
        Chest CT in Hounsfield units.

    Returns
    -------
    LungAir or Refusal
        A refusal ``no-lungs-found`` where no two plausible lungs lie side by side.
    """
    air = grid.hounsfield < AIR_HU
    outside = _outside(air)
    air &= ~outside
    airway = _airway(grid, air)
    gas = _bowel_gas(grid, air & ~airway)
    excluded = outside | grid.within(airway, 2.0) | gas
    lungs = air & ~excluded
    pair = _split(grid, lungs)
    if isinstance(pair, Refusal):
        return pair
    # The rims of a bubble or bronchus are no aerated lung, though as dark.
    pair = _with_islands(grid, lungs & ~_touching(grid, lungs & ~pair[0] & ~pair[1], airway | gas), *pair)
    beside = grid.within(airway | gas, _RIM_REACH_MM)
    whole = (grid.closed(_without_rims(grid, lung, beside), CLOSING_MM) & ~excluded for lung in pair)
    right, left = (_without_rims(grid, lung, beside) for lung in whole)
    overlap = right & left
    return LungAir(right=right & ~(overlap & pair[1]), left=left & ~(overlap & ~pair[1]), excluded=excluded)


def _without_rims(grid: WorkingGrid, lung: Mask, beside: Mask) -> Mask:
    """Drop sheets and threads beside bubble and bronchi: partial volume of their walls, oesophageal air."""
    thick = grid.opened(lung, _RIM_MM)
    labels, count = ndimage.label(thick | (lung & ~beside))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes * np.prod(grid.spacing_mm) / 1000 >= _MIN_ISLAND_ML
    kept[np.unique(labels[beside])] = False
    kept[sizes.argmax()] = True
    kept[0] = False
    parts: Mask = kept[labels]
    return parts


def _outside(air: Mask) -> Mask:
    """Air that reaches the side of the volume: room, table, clothes, the padding around the field."""
    labels, _ = ndimage.label(air)
    frame = np.concatenate([labels[:, edge].ravel() for edge in (0, -1)] + [labels[..., e].ravel() for e in (0, -1)])
    touching = np.zeros(labels.max() + 1, dtype=bool)
    touching[frame] = True
    touching[0] = False
    outside: Mask = touching[labels]
    return outside


def _airway(grid: WorkingGrid, air: Mask) -> Mask:
    """Trachea and main bronchi: a narrow tube of air near the midline, followed down until it would leak."""
    seed = _trachea_seed(grid, air)
    grown = np.zeros_like(air)
    if seed is None:
        return grown
    image = sitk.GetImageFromArray(grid.hounsfield)
    for threshold in _AIRWAY_HU:
        tube = sitk.ConnectedThreshold(image, [seed[::-1]], lower=-1024, upper=threshold)
        grown = sitk.GetArrayFromImage(tube).astype(bool) & air
        if grid.millilitres(grown) <= _MAX_AIRWAY_ML:
            break
    else:
        return np.zeros_like(air)
    # Segmental bronchi are lung: only what is as wide as a main bronchus is taken out.
    wide = grid.opened(grown, 3.5)
    return grid.within(wide, 4.0) & grown


def _trachea_seed(grid: WorkingGrid, air: Mask) -> tuple[int, int, int] | None:
    """Find a round hole of 0.8 to 8 cm2 near the midline in the upper half that stays in place over 3 slices."""
    area_mm2 = grid.spacing_mm[1] * grid.spacing_mm[2]
    middle, reach = _midline(grid), 30.0 / grid.spacing_mm[2]
    previous: list[tuple[int, int]] = []
    streak = 0
    for index in range(len(air) - 1, len(air) // 2, -1):
        labels, count = ndimage.label(grid.hounsfield[index] < _AIRWAY_HU[0])
        centres = [
            tuple(round(v) for v in ndimage.center_of_mass(labels == label))
            for label in range(1, count + 1)
            if 80 <= (labels == label).sum() * area_mm2 <= 800
        ]
        centres = [(y, x) for y, x in centres if abs(x - middle) < reach and labels[y, x] and air[index, y, x]]
        stayed = [c for c in centres if any(abs(c[0] - p[0]) + abs(c[1] - p[1]) <= 4 for p in previous)]
        streak = streak + 1 if stayed else 0
        if streak >= 3:
            return index, *stayed[0]
        previous = centres
    return None


def _midline(grid: WorkingGrid) -> float:
    """Column of the middle of the body, in blocks."""
    tissue = (grid.hounsfield > _TISSUE_HU).sum(axis=(0, 1))
    return float(np.average(np.arange(tissue.size), weights=tissue)) if tissue.any() else tissue.size / 2


def _bowel_gas(grid: WorkingGrid, air: Mask) -> Mask:
    """Homogeneous gas in a wall of its own, in the lower half of the air: stomach and colon.

    A bulla is as dark, but most of its surface is lung.
    """
    mean = ndimage.uniform_filter(grid.hounsfield, 3)
    variance = ndimage.uniform_filter(grid.hounsfield**2, 3) - mean**2
    core = (mean < GAS_HU) & (variance < GAS_SD_HU**2) & air
    labels, _ = ndimage.label(core)
    gas = np.zeros_like(air)
    lung = (mean > -930) & (mean < -600)
    middle = ndimage.center_of_mass(air)[0] if air.any() else 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if (box[0].start + box[0].stop) / 2 > middle:
            continue
        blob = labels[box] == label
        if grid.millilitres(blob) < _MIN_GAS_ML:
            continue
        wider = tuple(slice(max(s.start - 7, 0), s.stop + 7) for s in box)
        blob = labels[wider] == label
        shell = grid.within(blob, 8.0) & ~grid.within(blob, 4.5)
        if lung[wider][shell].mean() < _MAX_GAS_CONTACT:
            near = grid.within(blob, _GAS_REACH_MM) & (grid.hounsfield[wider] < _GAS_RIM_HU)
            gas[wider] |= near
    return grid.within(gas, 4.5) & (grid.hounsfield < _TISSUE_HU)


def _split(grid: WorkingGrid, air: Mask) -> tuple[Mask, Mask] | Refusal:
    """Part the air into right and left lung; pieces near a lung are its own."""
    for distance_mm in (0.0, 2.5, 4.5, 6.5, 9.0, 12.0):
        cores = air if distance_mm == 0 else grid.shrunk(air, distance_mm)
        markers = _two_sides(grid, cores, MIN_LUNG_ML if distance_mm == 0 else MIN_LUNG_ML / 4)
        if markers is not None:
            break
    else:
        return _refusal(grid, air)
    # Each voxel goes to the side that it reaches through the widest passage.
    basins = markers if distance_mm == 0 else watershed(-grid.distance_mm(~air), markers, mask=air)
    right, left = basins == 1, basins == 2
    if min(grid.millilitres(right), grid.millilitres(left)) < MIN_LUNG_ML:
        return _refusal(grid, air)
    return right, left


def _two_sides(grid: WorkingGrid, air: Mask, least_ml: float) -> NDArray[np.int32] | None:
    """Label the largest piece of either side of the body 1 (right) and 2 (left)."""
    labels, count = ndimage.label(air)
    if count < 2:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    first, second = np.argsort(sizes)[-1:-3:-1]
    if grid.millilitres(labels == second) < least_ml or sizes[second] < 0.1 * sizes[first]:
        return None
    x = {label: ndimage.center_of_mass(labels == label)[2] for label in (first, second)}
    right, left = sorted((first, second), key=lambda label: x[label])
    if not x[right] < _midline(grid) < x[left]:
        return None
    sides: NDArray[np.int32] = np.select([labels == right, labels == left], [np.int32(1), np.int32(2)], np.int32(0))
    return sides


def _with_islands(grid: WorkingGrid, air: Mask, right: Mask, left: Mask) -> tuple[Mask, Mask]:
    """Give aerated pieces that consolidation cut off to the lung that is near."""
    to_right, to_left = grid.distance_mm(right), grid.distance_mm(left)
    labels, count = ndimage.label(air & ~right & ~left)
    index = np.arange(1, count + 1)
    if not count:
        return right, left
    size = ndimage.sum_labels(np.ones_like(labels), labels, index) * np.prod(grid.spacing_mm) / 1000
    nearest = ndimage.minimum(np.minimum(to_right, to_left), labels, index)
    mean = ndimage.mean(grid.hounsfield, labels, index)
    kept = np.concatenate([[False], (size >= _MIN_ISLAND_ML) & (nearest <= _ISLAND_MM) & (mean > -900)])
    islands = kept[labels]
    nearer_right = to_right <= to_left
    return right | (islands & nearer_right), left | (islands & ~nearer_right)


def _touching(grid: WorkingGrid, pieces: Mask, what: Mask) -> Mask:
    """Pieces of a mask that lie within 5 mm of another."""
    labels, count = ndimage.label(pieces)
    near = np.zeros(count + 1, dtype=bool)
    near[np.unique(labels[grid.within(what, 5.0)])] = True
    near[0] = False
    close: Mask = near[labels]
    return close


def _refusal(grid: WorkingGrid, air: Mask) -> Refusal:
    labels, _ = ndimage.label(air)
    sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1][:2] * np.prod(grid.spacing_mm) / 1000
    found = ", ".join(f"{size:.0f} mL" for size in sizes) or "none"
    return Refusal(
        code="no-lungs-found",
        reason=(
            f"No two lungs of at least {MIN_LUNG_ML:.0f} mL side by side were found; "
            f"the largest pieces of air in the body: {found}."
        ),
        remedy="Send an axial chest CT that holds both lungs; a collapsed or removed lung is beyond this algorithm.",
    )
