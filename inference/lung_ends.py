"""Whether a scan holds the whole lungs: how much lung lies on its lowest and on its highest slice.

A complete chest ends in the abdomen and in the neck, where there is no lung. Lung on the outermost slice means that the
scan stops within it: volumes come out too small, and shares are those of a part.
"""

import numpy as np
from numpy.typing import NDArray

from inference.findings import Refusal
from inference.geometry import Geometry

Mask = NDArray[np.bool_]

WARNED_CM2 = 5.0
"""On one slice; a recess of this size that tapers off over 2 cm holds about 5 mL, 0.1 % of the lungs."""
REFUSED_SHARE = 0.8
"""Of the largest slice. On the phantom, cuts from here on take a seventh of the lungs or more; of the one real CT, a
cut that takes 18 % below (97 % of the largest slice) is refused, one that takes 8 % above (51 %) warned about."""
_ENDS = (("Bases", "lowest"), ("Apices", "highest"))


def check_ends(lungs: Mask, geometry: Geometry) -> Refusal | tuple[str, ...]:
    """Compare the lung on the outermost slices with that on the largest.

    Parameters
    ----------
    lungs : ndarray of bool, shape (slices, rows, columns)
        Both lungs, on axial slices; not empty.
    geometry : Geometry
        Of the same grid.

    Returns
    -------
    Refusal or tuple of str
        A refusal ``lungs-cut`` where an outermost slice holds at least `REFUSED_SHARE` of the area on the largest;
        else a warning for each end that holds more than `WARNED_CM2`.
    """
    _, rows_mm, columns_mm = geometry.spacing_mm
    areas_cm2 = np.count_nonzero(lungs, axis=(1, 2)) * (rows_mm * columns_mm / 100)
    if geometry.slice_direction[2] < 0:
        areas_cm2 = areas_cm2[::-1]
    largest = float(areas_cm2.max())
    warnings = []
    for (part, slice_name), area in zip(_ENDS, (float(areas_cm2[0]), float(areas_cm2[-1])), strict=True):
        if area >= REFUSED_SHARE * largest:
            return Refusal(
                code="lungs-cut",
                reason=(
                    f"The scan ends within the lungs: they fill {area:.0f} cm2 of the {slice_name} slice, "
                    f"{100 * area / largest:.0f} % of what they fill of the largest ({largest:.0f} cm2)."
                ),
                remedy="Send a scan of the whole lungs, from above the apices to below the diaphragm.",
            )
        if area > WARNED_CM2:
            warnings.append(
                f"{part} cut: the lungs still fill {area:.0f} cm2 of the {slice_name} slice (of {largest:.0f} cm2 "
                "at most); the volume is too small, and shares are of what was scanned."
            )
    return tuple(warnings)
