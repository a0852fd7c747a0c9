"""What a site may choose of `opacity-ensemble`. Light to import: the card holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from inference.card import Setting, SettingValue


class Variant(StrEnum):
    """The three submissions of the source."""

    ZONES_HIGH = "zones-high"
    WEIGHTED = "weighted"
    ZONES_LOW = "zones-low"


class FloorChoice(StrEnum):
    """Which floors: those that a variant was published with, or always the higher or the lower ones."""

    PUBLISHED = "published"
    HIGH = "high"
    LOW = "low"


SETTINGS: Mapping[str, Setting] = {
    "variant": Setting(
        default=Variant.ZONES_HIGH.value,
        choices=tuple(Variant),
        meaning="Which of the source's three submissions: how maps are blended, and how high the floors are.",
    ),
    "threshold": Setting(
        default=0.5, meaning="From which mean of the four scores on an image shows opacity. Our choice."
    ),
    "zone_values": Setting(
        default=(0.4, 0.6, 0.8, 0.95),
        meaning="Of `zones`: values of places that one, two, three, four experts mark. Our choice: the source "
        "optimised its own on validation, and does not tell them.",
    ),
    "expert_weights": Setting(
        default=(0.25, 0.25, 0.25, 0.25),
        low=0.0001,
        meaning="Of `weighted`: weights of ConvNeXt, nnU-Net 336, nnU-Net 768 and refinement, scaled to sum 1; "
        "in inverse proportion to each one's weighted log loss, as `opacity-node evaluate --calibrate` finds it. "
        "Equal until a site has calibrated: the source does not tell its own.",
    ),
    "floors": Setting(
        default=FloorChoice.PUBLISHED.value,
        choices=tuple(FloorChoice),
        meaning="Floors that the variant was published with, or those of zones-high or zones-low: the source ran "
        "its blends with either.",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How it is decided, and how maps are blended and lifted.

    Attributes
    ----------
    variant : Variant
        Which submission.
    threshold : float
        From which mean of the four scores on an image shows opacity.
    zone_values : tuple of 4 float
        Of places that one, two, three, four experts mark.
    expert_weights : tuple of 4 float
        Of the experts in the order in which they run; their sum does not matter.
    floors : FloorChoice
        Which ones.
    """

    variant: Variant
    threshold: float
    zone_values: tuple[float, ...]
    expert_weights: tuple[float, ...]
    floors: FloorChoice

    @property
    def has_low_floors(self) -> bool:
        """Whether the floors are those of submission 3."""
        published_low = self.floors is FloorChoice.PUBLISHED and self.variant is Variant.ZONES_LOW
        return published_low or self.floors is FloorChoice.LOW

    @property
    def texts(self) -> dict[str, str]:
        """As results name them."""
        return {
            "variant": self.variant.value,
            "threshold": f"{self.threshold:g}",
            "zone_values": _text(self.zone_values),
            "expert_weights": _text(self.expert_weights),
            "floors": "low" if self.has_low_floors else "high",
        }


def options(settings: Mapping[str, SettingValue]) -> Options:
    """Read settings, all of `SETTINGS`, as `inference.card.settled` returns them."""
    return Options(
        variant=Variant(str(settings["variant"])),
        threshold=float(cast("float", settings["threshold"])),
        zone_values=cast("tuple[float, ...]", settings["zone_values"]),
        expert_weights=cast("tuple[float, ...]", settings["expert_weights"]),
        floors=FloorChoice(str(settings["floors"])),
    )


def _text(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
