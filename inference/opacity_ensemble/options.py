"""What can be chosen of `opacity-ensemble`: texts of the settings -> checked values. Light to import.

Numbers stand in one text, separated by blanks, in the order in which the experts run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import TypeVar

_Choice = TypeVar("_Choice", bound=StrEnum)

DEFAULTS = {
    "variant": "zones-high",
    "threshold": "0.5",
    "zone_values": "0.4 0.6 0.8 0.95",
    "expert_weights": "0.25 0.25 0.25 0.25",
    "floors": "published",
}
"""Threshold, zone values and weights are this project's: the source keeps its own to itself."""
_EXPERTS = 4


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


class SettingError(ValueError):
    """A setting has no meaning; the message says what it may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How maps are blended and lifted.

    Attributes
    ----------
    variant : Variant
        Which submission.
    threshold : float
        From which mean of the four scores on an image shows opacity.
    zone_values : tuple of 4 float
        Of places that one, two, three, four experts mark; ascending.
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


def options(settings: Mapping[str, str]) -> Options:
    """Read settings; those that are not given have their defaults.

    Raises
    ------
    SettingError
        If one is unknown, or is not what it may be.
    """
    if unknown := sorted(set(settings) - set(DEFAULTS)):
        raise SettingError(f"opacity-ensemble has no setting {unknown[0]!r}; it has: {', '.join(DEFAULTS)}")
    said = {**DEFAULTS, **settings}
    (threshold,) = _numbers("threshold", said["threshold"], count=1)
    zone_values = _numbers("zone_values", said["zone_values"], count=_EXPERTS)
    if max(threshold, *zone_values) > 1:
        raise SettingError("threshold and zone_values are probabilities: none may be above 1")
    if any(lower > higher for lower, higher in pairwise(zone_values)):
        raise SettingError("zone_values must ascend: a place that more experts mark is not less likely opacity")
    weights = _numbers("expert_weights", said["expert_weights"], count=_EXPERTS)
    if not any(weights):
        raise SettingError("expert_weights: one of them must be above 0")
    return Options(
        variant=_choice("variant", said["variant"], Variant),
        threshold=threshold,
        zone_values=zone_values,
        expert_weights=weights,
        floors=_choice("floors", said["floors"], FloorChoice),
    )


def _numbers(name: str, text: str, *, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in str(text).split())
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(isfinite(number) and number >= 0 for number in numbers):
        wanted = "a number" if count == 1 else f"{count} numbers, separated by blanks, each"
        raise SettingError(f"{name} = {text!r}: give {wanted} of 0 or more, such as {DEFAULTS[name]!r}")
    return numbers


def _choice(name: str, text: str, choices: type[_Choice]) -> _Choice:
    try:
        return choices(text)
    except ValueError:
        raise SettingError(f"{name} = {text!r}: give one of {', '.join(choices)}") from None
