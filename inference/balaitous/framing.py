"""Steps 5 and 6: 224 x 224 pixels about the lungs, and the slices between their ends."""

import numpy as np
from numpy.typing import NDArray

from inference.balaitous.scan import Scan

SIZE = 224
OUTSIDE_HU = -1024
DROPPED = 0.1
"""Of the slices, at each end."""


def crop_or_pad(scan: Scan) -> Scan:
    """Cut rows, then columns, to `SIZE` about the middle of the lungs, or pad them with -1024 HU, half at each edge.

    Parameters
    ----------
    scan : Scan
        With lungs on at least one slice.

    Returns
    -------
    Scan
        `SIZE` rows and columns; without lungs where they lie so far apart that there are none about their middle.
    """
    hounsfield, lungs = scan.hounsfield, scan.lungs
    for axis in (0, 1):
        if hounsfield.shape[axis] > SIZE:
            kept = _about_lungs(lungs, axis)
            hounsfield, lungs = hounsfield[kept], lungs[kept]
    missing = [(size // 2, size - size // 2) for size in SIZE - np.array(hounsfield.shape[:2])]
    edges = [*missing, (0, 0)]
    return Scan(
        hounsfield=np.pad(hounsfield, edges, constant_values=OUTSIDE_HU),
        lungs=np.pad(lungs, edges, constant_values=False),
    )


def keep_lung_slices(scan: Scan) -> Scan:
    """Keep the slices from the first with lung to the last, that one excluded, then drop a tenth at each end.

    Parameters
    ----------
    scan : Scan
        With lungs on at least three slices.
    """
    first, last = _ends(scan.lungs, axis=2)
    count = last - first
    kept = slice(first + int(count * DROPPED), first + int(count * (1 - DROPPED)))
    return Scan(hounsfield=scan.hounsfield[..., kept], lungs=scan.lungs[..., kept])


def _about_lungs(lungs: NDArray[np.generic], axis: int) -> tuple[slice, ...]:
    half, size = SIZE // 2, lungs.shape[axis]
    # Rows may have been cut between two lungs, and what is left hold none of them.
    ends = _ends(lungs, axis=axis) if lungs.any() else (0, size)
    centre = min(max(sum(ends) // 2, half), size - half)
    return (*[slice(None)] * axis, slice(centre - half, centre + half))


def _ends(lungs: NDArray[np.generic], *, axis: int) -> tuple[int, int]:
    """Return the first and the last index along an axis at which there is lung."""
    others = tuple(other for other in range(lungs.ndim) if other != axis)
    found = np.flatnonzero(lungs.any(axis=others))
    return int(found[0]), int(found[-1])
