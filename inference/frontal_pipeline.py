"""What pipelines of frontal chest X-rays have in common: several images at once, each refused by itself or found on.

Light to import: cards come from modules that define subclasses.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference.card import ModelCard, SettingValue, XRayInput, settled
from inference.findings import Findings, Refusal, SelectionRefusedError
from inference.radiograph import Radiograph
from inference.weights import Shelf
from inference.xray_findings import hardly_frontal, unfit

if TYPE_CHECKING:  # it brings torch
    from inference.frontal_lungs import FrontalLungs


class FrontalPipeline(ABC):
    """A pipeline that needs a site's weights, and those of `lung-fields`.

    Parameters
    ----------
    weights : Path
        Folder of a site's weights.
    settings : Mapping[str, str or float or tuple of float], optional
        What the site chooses of the card's.

    Raises
    ------
    ValueError
        If a setting cannot be.
    """

    card: ModelCard
    reads: XRayInput

    def __init__(self, weights: Path, settings: Mapping[str, SettingValue] | None = None) -> None:
        self._settings = settled(self.card, settings or {})
        self._weights = Shelf(weights).require_for(self.card.name)

    def accepts(self, radiograph: Radiograph) -> Refusal | None:
        """Say why the image does not fit, or None: it must be large enough, and show something."""
        return unfit(radiograph, self.reads)

    def __call__(self, radiograph: Radiograph, device: str) -> Findings:
        """Run on one image.

        Parameters
        ----------
        radiograph : Radiograph
            That `accepts` lets pass.
        device : str
            Torch device.

        Raises
        ------
        SelectionRefusedError
            If nothing says that it is a frontal chest image, and it does not look like one.
        """
        (found,) = self.together([radiograph], device)
        if isinstance(found, Refusal):
            raise SelectionRefusedError(found)
        return found

    def together(self, radiographs: Sequence[Radiograph], device: str) -> list[Findings | Refusal]:
        """Run on images together: what a call for each would say, with the networks called once for all.

        Parameters
        ----------
        radiographs : sequence of Radiograph
            That `accepts` lets pass.
        device : str
            Torch device.

        Returns
        -------
        list of Findings or Refusal
            Of each image, in their order.
        """
        from inference.frontal_lungs import NETWORK, frontal_lungs  # torch is imported with it

        lungs = [frontal_lungs(one, self._weights[NETWORK], device) for one in radiographs]
        outcomes: list[Findings | Refusal | None] = [
            hardly_frontal(one, seen.check.doubts, self.reads) for one, seen in zip(radiographs, lungs, strict=True)
        ]
        taken = [number for number, refusal in enumerate(outcomes) if refusal is None]
        if taken:
            said = self._found([radiographs[number] for number in taken], [lungs[number] for number in taken], device)
            for number, findings in zip(taken, said, strict=True):
                warnings = dict.fromkeys((*findings.warnings, *lungs[number].warnings))
                outcomes[number] = replace(findings, warnings=tuple(warnings))
        return [outcome for outcome in outcomes if outcome is not None]

    @abstractmethod
    def _found(
        self, radiographs: Sequence[Radiograph], lungs: "Sequence[FrontalLungs]", device: str
    ) -> Iterable[Findings]:
        """Return what is found on each of some images, one at least; `lungs` are what `lung-fields` found on them."""
