"""Steps 4 to 7 on the volume, in their order, and the refusals between them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.balaitous.framing import crop_or_pad, keep_lung_slices
from inference.balaitous.lung_cleaning import clean_lungs
from inference.balaitous.scan import Scan, from_scan, to_scan
from inference.balaitous.windowing import lungs_only
from inference.both_lungs import missing_sides, no_lungs
from inference.findings import Refusal, SelectionRefusedError
from inference.lung_ends import check_ends
from inference.resampled_ct import SPACING_MM, ResampledCT
from inference.wording import counted

MIN_LUNG_SLICES = 10
"""At 5 mm. The package works from three on, and averages over the one that is left of them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """What the networks look at.

    Attributes
    ----------
    labels : ndarray of uint8, shape (slices, rows, columns)
        The cleaned lungs on the grid of the resampled CT: 1 right, 2 left.
    full, lung : Scan
        The kept slices, as they are, and with the lungs alone.
    warnings : tuple of str
        What is missing of the lungs.
    """

    labels: NDArray[np.uint8]
    full: Scan
    lung: Scan
    warnings: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        """How many were kept."""
        return int(self.full.lungs.shape[2])


def prepare(ct: ResampledCT) -> Prepared:
    """Clean the lungs, frame them, and keep their slices.

    Raises
    ------
    SelectionRefusedError
        ``no-lungs-found``, ``few-lung-slices`` or ``lungs-cut``: less than the networks can be shown.
    """
    cleaned = clean_lungs(to_scan(ct))
    if not cleaned.lungs.any():
        raise SelectionRefusedError(no_lungs("R231 found no lung, or nothing but tissue without air."))
    framed = crop_or_pad(cleaned)
    if refusal := _too_few(framed):
        raise SelectionRefusedError(refusal)
    lungs = from_scan(cleaned.lungs)
    ends = check_ends(lungs, ct.geometry)
    if isinstance(ends, Refusal):
        raise SelectionRefusedError(ends)
    labels = np.where(lungs, ct.labels, np.uint8(0))
    full = keep_lung_slices(framed)
    return Prepared(labels=labels, full=full, lung=lungs_only(full), warnings=(*missing_sides(labels), *ends))


def _too_few(framed: Scan) -> Refusal | None:
    count = int(np.count_nonzero(framed.lungs.any(axis=(0, 1))))
    if count >= MIN_LUNG_SLICES:
        return None
    return Refusal(
        code="few-lung-slices",
        reason=(
            f"Lung was found on {counted(count, 'slice')} of {SPACING_MM[0]:g} mm; "
            f"at least {MIN_LUNG_SLICES} are needed."
        ),
        remedy="Send an axial CT of the whole chest.",
    )
