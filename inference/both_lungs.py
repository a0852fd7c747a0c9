"""Whether R231 found two lungs: a CT of one is judged by that one, and the reader is told."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inference.findings import Refusal
from inference.resampled_ct import LEFT, RIGHT

_SIDES = {RIGHT: "right", LEFT: "left"}


def no_lungs(reason: str) -> Refusal:
    """Return the refusal of a CT without lungs."""
    return Refusal(code="no-lungs-found", reason=reason, remedy="Send an axial CT of the whole chest.")


def missing_sides(labels: NDArray[np.uint8]) -> Iterator[str]:
    """Yield a warning for a lung that was not found.

    Parameters
    ----------
    labels : ndarray of uint8, shape (slices, rows, columns)
        `RIGHT` and `LEFT`, at least one of them.
    """
    for label, side in _SIDES.items():
        if not (labels == label).any():
            yield f"No {side} lung was found: all that is said is of the other alone."
