"""Opacity within the lungs: denser than aerated lung, too thick for a vessel, more than the rim of a wall.

References
----------
-600 HU as the lower end of high attenuation areas: Lederer et al., Am J Respir Crit Care Med 2009;180:407. The cleaning
is this project's, tuned by eye on one CT and on the phantom.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.working_grid import WorkingGrid

Mask = NDArray[np.bool_]

DENSE_HU = -600
OPENING_MM = 4.0
REGROWTH_MM = 3.0
MIN_PART_ML = 1.0
NEIGHBOURHOOD_MM = 3.0
"""Standard deviation of the Gaussian that weighs a place's neighbours."""


def find_opacity(grid: WorkingGrid, lungs: Mask) -> Mask:
    """Find opacity.

    Blocks of about 2 mm (their mean damps noise) above -600 HU, at least half lung; opened by a ball of 4 mm, which
    takes away vessels under 8 mm and the partial volume of pleura and airway walls; grown back by up to 3 mm where it
    is dense; parts under 1 mL dropped; drawn on the source grid by the majority of 5 x 5 voxels, within the lungs.

    Parameters
    ----------
    grid : WorkingGrid
        Chest CT in Hounsfield units.
    lungs : ndarray of bool, shape of the source
        Both lungs.

    Returns
    -------
    ndarray of bool, shape of the source
        A part of `lungs`.
    """
    dense = (grid.hounsfield > DENSE_HU) & grid.majority(lungs)
    thick = grid.opened(dense, OPENING_MM)
    labels, count = ndimage.label(grid.within(thick, REGROWTH_MM) & dense)
    if not count:
        return np.zeros_like(lungs)
    kept = np.bincount(labels.ravel()) * np.prod(grid.spacing_mm) / 1000 >= MIN_PART_ML
    kept[0] = False
    return grid.smoothed_to_source(kept[labels]) & lungs


def local_opacity(grid: WorkingGrid, opacity: Mask, lungs: Mask) -> NDArray[np.float32]:
    """Say how much of the lung around every block is opacity.

    Parameters
    ----------
    grid : WorkingGrid
        Of the source.
    opacity, lungs : ndarray of bool, shape of the source
        A part of both lungs; both lungs.

    Returns
    -------
    ndarray of float32, shape of the blocks
        From 0 to 1: opacity over lung, both weighed by a Gaussian; 0 where a block holds no lung.
    """
    lung = grid.counts(lungs)
    share = np.zeros(lung.shape, dtype=np.float32)
    for box in ndimage.find_objects((lung > 0).view(np.uint8)):
        sigmas = NEIGHBOURHOOD_MM / np.array(grid.spacing_mm)
        whole, part = (
            ndimage.gaussian_filter(counts[box].astype(np.float32), sigmas, truncate=3.0)
            for counts in (lung, grid.counts(opacity))
        )
        inside = lung[box] > 0
        share[box][inside] = (part[inside] / whole[inside]).clip(0, 1)
    return share
