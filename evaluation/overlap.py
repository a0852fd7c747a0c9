"""How far two masks cover each other.

References
----------
Dice, Ecology 1945, 26:297-302; Jaccard, New Phytol 1912, 11:37-50; Maier-Hein et al., Metrics reloaded, Nat Methods
2024, 21:195-212, on images whose truth is empty.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """One region of one image.

    Attributes
    ----------
    truth, found, both : int
        Pixels or voxels.
    """

    truth: int
    found: int
    both: int

    @property
    def dice(self) -> float | None:
        """Twice the common part over the sum; None where the truth is empty, which Dice cannot judge."""
        return 2 * self.both / (self.truth + self.found) if self.truth else None

    @property
    def iou(self) -> float | None:
        """The common part over the union; None where the truth is empty."""
        return self.both / (self.truth + self.found - self.both) if self.truth else None

    @property
    def is_false_alarm(self) -> bool:
        """Whether something was marked where nothing is."""
        return not self.truth and self.found > 0


def overlap(truth: Mask, found: Mask) -> Overlap:
    """Count what two masks of one shape have in common."""
    return Overlap(
        truth=int(np.count_nonzero(truth)),
        found=int(np.count_nonzero(found)),
        both=int(np.count_nonzero(truth & found)),
    )
