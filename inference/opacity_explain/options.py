"""What a site may choose of `opacity-explain`. Light to import: the card holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from inference.card import Setting, SettingValue

SETTINGS: Mapping[str, Setting] = {
    "threshold": Setting(
        default=0.8,
        meaning="From which probability of the classifiers on opacity is probable. The source took the one below "
        "which about 99 % of its images without opacity were; where that lies depends on the weights. 0.8 is our "
        "choice: set it for the weights that are installed.",
    ),
    "extent_threshold": Setting(
        default=0.5,
        meaning="From which extent in a lung on all of it is marked; the source's, about half of the lung.",
    ),
    "lung_map_weight": Setting(
        default=0.5,
        meaning="Of a lung's own map in the blend with the map of the whole image, which has the rest. Our choice: "
        "the source says that both are blended, not how.",
    ),
    "over_estimation": Setting(
        default=(0.02, 0.04),
        high=0.2,
        meaning="How far opacity is dilated in the map where it extends little, and where it extends far, as shares "
        "of the image's longer side. Our choice: the source dilates on two levels, and does not tell how far.",
    ),
    "over_estimation_from": Setting(
        default=0.25,
        meaning="From which mean extent of both lungs on opacity extends far. Our choice.",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How it is decided, and how maps are blended and dilated; each as the setting of its name says.

    Attributes
    ----------
    threshold, extent_threshold : float
        Of the classifiers, of the regressors.
    lung_map_weight : float
        In [0, 1].
    over_estimation : tuple of 2 float
        Shares of the image's longer side: little, far.
    over_estimation_from : float
        Mean extent.
    """

    threshold: float
    extent_threshold: float
    lung_map_weight: float
    over_estimation: tuple[float, ...]
    over_estimation_from: float

    @property
    def texts(self) -> dict[str, str]:
        """As results name them."""
        return {
            "threshold": f"{self.threshold:g}",
            "extent_threshold": f"{self.extent_threshold:g}",
            "lung_map_weight": f"{self.lung_map_weight:g}",
            "over_estimation": " ".join(f"{share:g}" for share in self.over_estimation),
            "over_estimation_from": f"{self.over_estimation_from:g}",
        }


def options(settings: Mapping[str, SettingValue]) -> Options:
    """Read settings, all of `SETTINGS`, as `inference.card.settled` returns them."""
    return Options(
        threshold=_number(settings["threshold"]),
        extent_threshold=_number(settings["extent_threshold"]),
        lung_map_weight=_number(settings["lung_map_weight"]),
        over_estimation=cast("tuple[float, ...]", settings["over_estimation"]),
        over_estimation_from=_number(settings["over_estimation_from"]),
    )


def _number(value: SettingValue) -> float:
    return float(cast("float", value))
