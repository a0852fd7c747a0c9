"""What a site may choose of `opacity-boxes`. Light to import: the card holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from inference.card import Setting, SettingValue

SETTINGS: Mapping[str, Setting] = {
    "threshold": Setting(
        default=0.5,
        low=0.05,
        meaning="From which certainty on a box counts, for the image and as a finding. Our choice: the source does not "
        "tell its own. Of boxes below 0.05 the network says nothing.",
    ),
    "boxes": Setting(
        default=5.0, low=1.0, high=20.0, is_whole=True, meaning="How many boxes are findings at most, as in the source."
    ),
    "overlap": Setting(
        default=0.5,
        low=0.1,
        high=0.9,
        meaning="Of two boxes whose common part is a larger share of both together, the more certain one is kept: of "
        "one class as in torchvision, and of two classes, since a place has one appearance (our choice).",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How boxes are chosen.

    Attributes
    ----------
    threshold : float
        From which certainty on a box counts.
    boxes : int
        Findings at most.
    overlap : float
        Common part over union beyond which the less certain one of two boxes goes.
    """

    threshold: float
    boxes: int
    overlap: float

    @property
    def texts(self) -> dict[str, str]:
        """As results name them."""
        return {"threshold": f"{self.threshold:g}", "boxes": f"{self.boxes}", "overlap": f"{self.overlap:g}"}


def options(settings: Mapping[str, SettingValue]) -> Options:
    """Read settings, all of `SETTINGS`, as `inference.card.settled` returns them."""
    threshold, boxes, overlap = (cast("float", settings[name]) for name in SETTINGS)
    return Options(threshold=float(threshold), boxes=round(boxes), overlap=float(overlap))
