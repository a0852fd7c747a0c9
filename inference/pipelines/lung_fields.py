"""Lung fields on a frontal chest X-ray: right and left lung as regions, with their areas.

A small network whose weights come with the package. It also tells whether the image is a frontal chest image at all,
which images of unknown view and body part depend on. Imports nothing heavy until it runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inference.card import NOT_FOR, RESEARCHERS, ModelCard, XRayInput
from inference.codes import ANATOMICAL, BILATERAL, LEFT, LEFT_LUNG, LUNG, NO_UNITS, PERCENT, RIGHT, RIGHT_LUNG, SCHEME
from inference.coding import Code
from inference.findings import (
    Algorithm,
    Findings,
    Heatmap,
    Measurement,
    Purpose,
    Refusal,
    Region,
    SelectionRefusedError,
    Site,
)
from inference.radiograph import Radiograph
from inference.training_record import cross_validation, training_data
from inference.weights import Shelf, combined_sha256
from inference.xray_findings import area, doubts_about, not_frontal, unfit

if TYPE_CHECKING:  # it brings torch
    from inference.lung_probabilities import LungProbabilities

Mask = NDArray[np.bool_]

_SHARE_OF_IMAGE = Code("IMGSHARE", SCHEME, "Share of the image")
_SHARE_OF_BOTH = Code("LUNGSHARE", SCHEME, "Share of both lung fields")
_LUNG_PROBABILITY = Code("LUNGPROB", SCHEME, "Probability of lung")

_INPUT = XRayInput(view_positions=("PA", "AP"), min_size=(256, 256))
_WEIGHTS = "lung-fields"
_ADULT_MM2 = (15_000.0, 110_000.0)
"""Both lungs on an image receptor, from the smallest to the largest adults with room on either side; our choice."""

_REMEDY = "If it is one, state Patient Orientation (0020,0020), check the window, and send it again."

CARD = ModelCard(
    name="lung-fields",
    version="1.0.0",
    title="Right and left lung field on a frontal chest X-ray",
    purpose="Outline both lungs on one frontal chest X-ray and measure their projected areas.",
    output=(
        "Right and left lung as regions; area in mm2 where the size of a pixel is known, shares in %; probability of "
        "lung as a map."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Finding or excluding any disease: it outlines lungs, and says nothing about what is in them.",
        "Children, lateral or bedside lateral decubitus views, animals, photographs of a screen or a film.",
    ),
    input=_INPUT,
    parameters={"network_grid": "256 x 256", "threshold": "most probable of background, right lung, left lung"},
    training=(
        "A small U-Net, trained from random weights by `opacity-node train lung-fields`, split by patient, seeds "
        "fixed. Images by way of the COVID-19 image data collection (Cohen et al., arXiv:2006.11988), lung masks as "
        "torchxrayvision 1.5.7 has them."
    ),
    training_data=training_data(_WEIGHTS),
    assessment=(
        "Cross-validated by patient on the images that it was trained with, by a recipe chosen with two of the five "
        "folds in view, so a little too well; never judged on images of another source, nor against a second reader."
    ),
    quality=cross_validation(_WEIGHTS),
    limits=(
        "Trained and judged on a few dozen adult patients, most with COVID-19; no children, no normal cohort.",
        "Areas lie on the image receptor, where the patient is magnified, unless the pixel spacing was calibrated.",
        "The left lung includes the part behind the heart; both include what the ribs and diaphragm hide only in part.",
        "Gas of stomach or bowel under the left diaphragm may be outlined as lung, as was seen on a real image.",
        "A wholly white lung, a removed lung, or a large effusion is outlined wrongly or not found.",
        "Images that do not say how they lie are taken as upright; a mirrored image is not noticed.",
        "Says nothing about disease.",
    ),
    references=("U-Net: Ronneberger et al., MICCAI 2015, arXiv:1505.04597.",),
    weights=(_WEIGHTS,),
)


class LungFields:
    """The pipeline.

    Parameters
    ----------
    weights : Path
        Folder of a site's weights; those of this pipeline come with the package.
    """

    card = CARD

    def __init__(self, weights: Path) -> None:
        self._weights = Shelf(weights).require_for(CARD.name)

    def accepts(self, radiograph: Radiograph) -> Refusal | None:
        """Say why the image does not fit, or None: it must be large enough, and show something."""
        return unfit(radiograph, _INPUT)

    def __call__(self, radiograph: Radiograph, device: str) -> Findings:
        """Find and measure both lungs.

        Parameters
        ----------
        radiograph : Radiograph
            That `accepts` lets pass.
        device : str
            Torch device.

        Raises
        ------
        SelectionRefusedError
            If it is not a frontal chest image.
        """
        # torch and scipy are imported with these.
        from inference.frontal_lungs import frontal_lungs

        found = frontal_lungs(radiograph, self._weights[_WEIGHTS], device)
        masks = found.masks
        if not found.check.is_frontal:
            raise SelectionRefusedError(not_frontal(found.check.doubts, _REMEDY))
        return Findings(
            algorithm=Algorithm(
                name=CARD.name,
                version=CARD.version,
                weights_sha256=combined_sha256(list(self._weights.values())),
                parameters=dict(CARD.parameters),
            ),
            source_instances=radiograph.sop_instance_uids,
            measurements=_both(masks, radiograph),
            regions=tuple(_regions(np.ascontiguousarray(radiograph.upright.turn_back(masks)), radiograph)),
            heatmaps=(_heatmap(found.probabilities, radiograph),),
            warnings=(*_warnings(masks, radiograph), *found.warnings),
        )


def _regions(masks: Mask, radiograph: Radiograph) -> Iterator[Region]:
    whole = max(1, int(np.count_nonzero(masks)))
    sides = (("right lung", masks[0], RIGHT_LUNG, RIGHT), ("left lung", masks[1], LEFT_LUNG, LEFT))
    for label, mask, lung, side in sides:
        pixels = int(np.count_nonzero(mask))
        yield Region(
            label=label,
            purpose=Purpose.LUNGS,
            property_category=ANATOMICAL,
            property_type=LUNG,
            mask=mask[np.newaxis],
            site=Site(location=lung, laterality=side),
            measurements=(
                *area(pixels, radiograph),
                Measurement(concept=_SHARE_OF_BOTH, value=100 * pixels / whole, unit=PERCENT),
            ),
        )


def _heatmap(found: "LungProbabilities", radiograph: Radiograph) -> Heatmap:
    turned, stored = radiograph.upright, radiograph.geometry
    grid = found.letterbox.geometry(turned.geometry(stored))
    return Heatmap(
        label="lung probability",
        quantity=_LUNG_PROBABILITY,
        unit=NO_UNITS,
        values=np.ascontiguousarray(turned.turn_back(found.values.sum(axis=0, keepdims=True).clip(0.0, 1.0))),
        grid=turned.geometry_back(grid, found.values.shape[1:], stored, radiograph.pixel_array.shape[1:]),
    )


def _both(masks: Mask, radiograph: Radiograph) -> tuple[Measurement, ...]:
    pixels, site = int(np.count_nonzero(masks)), Site(location=LUNG, laterality=BILATERAL)
    share = Measurement(concept=_SHARE_OF_IMAGE, value=100 * pixels / masks[0].size, unit=PERCENT, site=site)
    return (*area(pixels, radiograph, site), share)


def _warnings(masks: Mask, radiograph: Radiograph) -> Iterator[str]:
    yield "The left lung includes the part behind the heart; gas under the diaphragm may be outlined with it."
    yield from doubts_about(radiograph)
    for both in area(int(np.count_nonzero(masks)), radiograph):
        if not _ADULT_MM2[0] <= both.value <= _ADULT_MM2[1]:
            yield (
                f"Both lungs measure {both.value:.0f} mm2, which no adult's do: the pixel spacing is not that of this "
                "image (was it scaled down?), or the outlines are wrong."
            )
