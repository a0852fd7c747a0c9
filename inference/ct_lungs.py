"""The lungs in a chest CT: a classical mask that needs no weights, or lungmask R231 where its weights are there.

Classical: aerated lungs on a working grid (`inference.lung_air`), consolidated parts between them and the rib cage
(`inference.rib_cage`), then the border redrawn on the source grid at -400 HU.

References
----------
Hofmanninger et al., Eur Radiol Exp 2020;4:50 (lungmask R231).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference import lung_air, rib_cage
from inference.findings import Refusal
from inference.series import Series
from inference.weights import Shelf, Verified
from inference.working_grid import WorkingGrid, coarsen, smoothed, upright

Mask = NDArray[np.bool_]
logger = logging.getLogger(__name__)

R231 = "lungmask-r231"
CLASSICAL_PARAMETERS: Mapping[str, str] = {
    "lung_mask": "classical: rib cage cavity and dependent fill",
    "lung_air_hu": f"< {lung_air.AIR_HU}",
    "lung_closing_mm": f"{lung_air.CLOSING_MM:g}",
    "bowel_gas_hu": f"< {lung_air.GAS_HU}, SD < {lung_air.GAS_SD_HU:g}",
    "rib_hu": f"> {rib_cage.BONE_HU}",
    "fill_gap_mm": f"ray {rib_cage.RAY_GAP_MM:g}, column {rib_cage.COLUMN_GAP_MM:g}",
    "fill_medial_mm": f"right {rib_cage.MEDIAL_RIGHT_MM:g}, left {rib_cage.MEDIAL_LEFT_MM:g}",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lungs:
    """Both lungs on the grid of a series.

    Attributes
    ----------
    right, left : ndarray of bool, shape (slices, rows, columns)
        Without trachea and main bronchi, apart from each other.
    parameters : Mapping[str, str]
        Method and every setting of it.
    weights_sha256 : str or None
        Of R231; None for the classical mask.
    warnings : tuple of str
        How R231 was computed, where that was not as usual.
    """

    right: Mask
    left: Mask
    parameters: Mapping[str, str] = field(default_factory=lambda: CLASSICAL_PARAMETERS)
    weights_sha256: str | None = None
    warnings: tuple[str, ...] = ()


def find_lungs(series: Series, *, weights_folder: Path, device: str) -> Lungs | Refusal:
    """Find both lungs with R231 if its weights are there, else with the classical algorithm.

    Parameters
    ----------
    series : Series
        Axial chest CT.
    weights_folder : Path
        Where R231's weights may lie.
    device : str
        Torch device, for R231 only.

    Returns
    -------
    Lungs or Refusal
        A refusal ``no-lungs-found`` where no two plausible lungs are found.

    Raises
    ------
    inference.weights.WrongWeightsError
        If R231's file is there but not the pinned one.
    """
    found = Shelf(weights_folder).find(R231)
    return find_lungs_classical(series) if found is None else find_lungs_r231(series, found, device=device)


def find_lungs_classical(series: Series) -> Lungs | Refusal:
    """Find both lungs without weights; see the module."""
    hounsfield = upright(series.pixel_array, series.geometry)
    grid = coarsen(hounsfield, series.geometry.spacing_mm)
    air = lung_air.find_lung_air(grid)
    if isinstance(air, Refusal):
        return air
    fill = rib_cage.fill_dependent(grid, air.right, air.left, air.excluded)
    blocks = (air.right | fill[0], air.left | fill[1])
    right, left = _redraw(hounsfield, grid, blocks, fill[0] | fill[1], air.excluded)
    return Lungs(right=upright(right, series.geometry), left=upright(left, series.geometry))


def find_lungs_r231(series: Series, weights: Verified, *, device: str) -> Lungs | Refusal:
    """Find both lungs with lungmask R231.

    Parameters
    ----------
    series : Series
        Axial chest CT.
    weights : Verified
        Of the slot `lungmask-r231`.
    device : str
        Torch device.
    """
    from inference.networks.r231 import LungMask

    hounsfield = upright(series.pixel_array, series.geometry)
    network = LungMask(weights, device=device)
    labels = upright(network(hounsfield.astype(np.int16, copy=False)), series.geometry)
    voxel_ml = series.geometry.voxel_volume_ml
    volumes_ml = [float((labels == side).sum()) * voxel_ml for side in (1, 2)]
    if min(volumes_ml) < lung_air.MIN_LUNG_ML:
        return Refusal(
            code="no-lungs-found",
            reason=f"R231 found {volumes_ml[0]:.0f} mL of right and {volumes_ml[1]:.0f} mL of left lung.",
            remedy="Send an axial chest CT that holds both lungs.",
        )
    return Lungs(
        right=labels == 1,
        left=labels == 2,
        parameters={"lung_mask": "lungmask R231", **network.parameters},
        weights_sha256=weights.sha256,
        warnings=network.warnings,
    )


def _redraw(
    hounsfield: NDArray[Any], grid: WorkingGrid, blocks: tuple[Mask, Mask], filled: Mask, excluded: Mask
) -> tuple[Mask, Mask]:
    """Draw both lungs on the source grid: inside as found, in a band of one block about the border where it is air."""
    box = _box(grid, blocks[0] | blocks[1])
    cropped = hounsfield[box]
    margin_mm = max(grid.spacing_mm) * 1.01
    aerated = (cropped < lung_air.AIR_HU) & ~grid.to_source(excluded)[box]
    solid = grid.within(filled, margin_mm)
    right, left = blocks
    drawn = []
    for own, other in ((right, left), (left, right)):
        core = grid.shrunk(own, margin_mm) | (own & solid)
        band = grid.within(own, margin_mm) & ~other & ~core
        mask = grid.to_source(core)[box] | (grid.to_source(band)[box] & aerated)
        whole = np.zeros(hounsfield.shape, dtype=bool)
        whole[box] = smoothed(mask)
        drawn.append(whole)
    # Smoothing may let both claim a voxel of the anterior junction.
    return drawn[0], drawn[1] & ~drawn[0]


def _box(grid: WorkingGrid, blocks: Mask) -> tuple[slice, ...]:
    """Smallest box around the blocks with 3 more on each side, in source voxels."""
    found = ndimage.find_objects(blocks.view(np.uint8))[0]
    return tuple(
        slice(max(s.start - 3, 0) * factor, min((s.stop + 3) * factor, size))
        for s, factor, size in zip(found, grid.factors, grid.source_shape, strict=True)
    )
