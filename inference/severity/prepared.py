"""A chest CT as LTC and I3D look at it, and the way back from what they look at to where it lies.

Window, mask and rule of slices are the source's; what it leaves open is our choice: slices stay in their order from
feet to head, are padded to a square, and are resized as a whole, without cropping to the lungs.

References
----------
ISBI 2021, "A COVID-19 patient severity stratification using a 3D convolutional strategy on CT-scans".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inference.both_lungs import missing_sides, no_lungs
from inference.findings import Refusal, SelectionRefusedError
from inference.lung_ends import check_ends
from inference.resampled_ct import ResampledCT
from inference.severity.network import Cells
from inference.wording import counted

WINDOW_HU = (-1100.0, 300.0)
"""Centre -400, width 1400."""
LEAST_PERCENT = 5
"""Of a slice, that lungs must cover."""
LEAST_SLICES = 10
"""Our choice: 5 cm of lung, of the 20 cm and more that adults have."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """Lungs on the slices that show enough of them.

    Attributes
    ----------
    volume : ndarray of float32, shape (slices kept, rows and columns of the square)
        From 0 to 1; 0 outside the lungs.
    kept : ndarray of int, shape (slices kept,)
        Which slices of the grid they are, ascending; others may lie between them.
    margin : tuple of 2 int
        Rows and columns that were added before the first to make the square.
    shape : tuple of 3 int
        Slices, rows and columns of the grid.
    """

    volume: Floats
    kept: NDArray[np.intp]
    margin: tuple[int, int]
    shape: tuple[int, int, int]

    def resized(self, size: Sequence[int]) -> Floats:
        """Return the volume with other numbers of slices, rows and columns: see `resized`."""
        array: Floats = resized(torch.from_numpy(self.volume), size).numpy()
        return array

    def on_grid(self, block: Floats, cells: Cells, size: Sequence[int]) -> Floats:
        """Put values of a network's last block back where they came from.

        Parameters
        ----------
        block : ndarray of float32, shape (slices, rows, columns) of cells
            Not negative.
        cells : Cells
            Where they lie on the input.
        size : sequence of 3 int
            Slices, rows and columns of the input.

        Returns
        -------
        ndarray of float32, shape `shape`
            Linear between the centres of cells, beyond the outermost as there; 0 on slices that were not kept.
        """
        of_rows, of_columns = (np.arange(n) + start for n, start in zip(self.shape[1:], self.margin, strict=True))
        places = (np.arange(len(self.kept)), of_rows, of_columns)
        weights = (
            _weights((place + 0.5) * n / source - 0.5, first, step, count)
            for place, n, source, first, step, count in zip(
                places, size, self.volume.shape, cells.first, cells.step, block.shape, strict=True
            )
        )
        values = np.zeros(self.shape, dtype=np.float32)
        values[self.kept] = np.einsum("zi,yj,xk,ijk->zyx", *weights, block, optimize=True)
        return values


def prepare_ct(ct: ResampledCT) -> tuple[Prepared, tuple[str, ...]]:
    """Prepare a CT whose lungs were found; return with it what a reader must know of those.

    Raises
    ------
    SelectionRefusedError
        ``no-lungs-found``, ``too-little-lung`` or ``lungs-cut``: less than the networks can be shown.
    """
    lungs = ct.labels != 0
    if not lungs.any():
        raise SelectionRefusedError(no_lungs("R231 found no lung."))
    prepared = prepare(ct.hounsfield, ct.labels)
    if isinstance(prepared, Refusal):
        raise SelectionRefusedError(prepared)
    ends = check_ends(lungs, ct.geometry)
    if isinstance(ends, Refusal):
        raise SelectionRefusedError(ends)
    return prepared, (*missing_sides(ct.labels), *ends)


def prepare(hounsfield: NDArray[np.generic], labels: NDArray[np.generic]) -> Prepared | Refusal:
    """Window a CT, blank what is not lung, and keep the slices of which lungs cover `LEAST_PERCENT` or more.

    Parameters
    ----------
    hounsfield : ndarray, shape (slices, rows, columns)
        In Hounsfield units, upright: from feet to head, rows to the back.
    labels : ndarray of int or bool, same shape
        0 where there is no lung.

    Returns
    -------
    Prepared or Refusal
        A refusal ``too-little-lung`` where fewer than `LEAST_SLICES` are kept.
    """
    slices, rows, columns = hounsfield.shape
    kept = np.flatnonzero(100 * np.count_nonzero(labels, axis=(1, 2)) >= LEAST_PERCENT * rows * columns)
    if len(kept) < LEAST_SLICES:
        return Refusal(
            code="too-little-lung",
            reason=(
                f"Lungs cover {LEAST_PERCENT} % or more of {counted(len(kept), 'slice')} of {slices}; at least "
                f"{LEAST_SLICES} such slices are needed."
            ),
            remedy="Send an axial chest CT that holds both lungs and is reconstructed for the chest.",
        )
    low, high = WINDOW_HU
    values = ((hounsfield[kept].astype(np.float32) - low) / (high - low)).clip(0, 1) * (labels[kept] != 0)
    side = max(rows, columns)
    margin = (side - rows) // 2, (side - columns) // 2
    volume = np.zeros((len(kept), side, side), dtype=np.float32)
    volume[:, margin[0] : margin[0] + rows, margin[1] : margin[1] + columns] = values
    return Prepared(volume=volume, kept=kept, margin=margin, shape=(slices, rows, columns))


def resized(volume: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return a volume, shape (slices, rows, columns), of another size: linear, averaged where it shrinks."""
    slices, rows, columns = size
    volume = volume[None]
    for grid in ((rows, columns), (slices, rows * columns)):
        volume = torch.nn.functional.interpolate(volume, grid, mode="bilinear", antialias=True).flatten(2)[None]
    return volume.reshape(slices, rows, columns)


def _weights(places: NDArray[np.float64], first: float, step: float, count: int) -> Floats:
    """Return what share each cell has of the values at places on the input, shape (places, count)."""
    along = ((places - first) / step).clip(0, count - 1)
    shares: Floats = (1 - np.abs(along[:, np.newaxis] - np.arange(count))).clip(0).astype(np.float32)
    return shares
