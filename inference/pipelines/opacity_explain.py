"""Opacity on a frontal chest X-ray, with reasons: the cascade of the MIDRC XAI challenge's runner-up.

Classifiers decide whether there is opacity, regressors how far it extends in either lung, decoders where they saw it.
The weights are a site's; `inference.opacity_explain` holds the steps. Imports nothing heavy until it runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference.card import NOT_FOR, RESEARCHERS, ModelCard, Quality, SettingValue, TrainingData, XRayInput, settled
from inference.findings import Algorithm, Findings, Refusal, SelectionRefusedError
from inference.opacity_explain.options import SETTINGS, options
from inference.radiograph import Radiograph
from inference.training_record import training_data
from inference.weights import Shelf, combined_sha256
from inference.xray_findings import doubts_about, hardly_frontal, unfit

if TYPE_CHECKING:  # it brings torch
    from inference.opacity_explain.decisions import Explained
    from inference.opacity_explain.networks import ExplainNetworks

_INPUT = XRayInput(view_positions=("PA", "AP"), min_size=(256, 256))
_LUNG_FIELDS = "lung-fields"
_SOURCE = "description of the runner-up, team JMAI, MIDRC XAI challenge 2024 (github.com/MIDRC/COVID19_Challenges)"
_BACKBONES = ("b4", "convnext")
_PARTS = ("classifier", "regressor-right", "regressor-left", "map", "map-right", "map-left")

CARD = ModelCard(
    name="opacity-explain",
    version="1.0.0",
    title="Likelihood, extent and map of lung opacity on a frontal chest X-ray, with every decision on the way",
    purpose=(
        "Score a frontal, as a rule portable, chest X-ray for opacity as of pneumonia, say how much of either lung it "
        "takes, map where it was seen, and say by which scores and thresholds."
    ),
    output=(
        "Opacity probability and extent of opacity in right and left lung, in %, means of two networks each; the "
        "decision, and for either lung whether all of it was marked or it was mapped; opacity by side and both lungs "
        "as regions, with areas and shares; the map that explains the scores."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Excluding pneumonia or any other disease.",
        "Telling one cause of opacity from another.",
        "Following the extent of a disease from day to day.",
        "Children, lateral views, animals, photographs of a screen or a film.",
    ),
    input=_INPUT,
    parameters={
        "image_size": "512 x 512, one lung 512 x 320, proportions not kept, greys in [-1, 1]",
        "backbones": "EfficientNet-B4 and ConvNeXt-tiny, mean of both",
        "lung_from": "0.5",
        "lung_margin": "1/20 of its rows and columns on every side",
        "smallest_lung": "1/200 of the image",
        "marked_from": "0.5",
        "map_limits": "10/255 to 245/255 in the lungs, 1/255 elsewhere",
    },
    training=(
        "None here: the weights are those that were submitted to the challenge, or a site's own. The source began with "
        "the winners of the mRALE challenge, gave them new heads, trained the classifiers on labels, the regressors on "
        "the share of either lung within boxes, the decoders on pixels that are in boxes and in the lungs while their "
        "encoders stayed as they were, and the lung segmenter on lungs drawn by hand on 1000 of the images."
    ),
    training_data=(
        TrainingData(
            name="RSNA Pneumonia Detection Challenge, stage 2, boxes",
            images=None,
            licence="of its provider; not used here",
            source=f"kaggle.com/c/rsna-pneumonia-detection-challenge, as named in the {_SOURCE}",
        ),
        *training_data(_LUNG_FIELDS),
    ),
    assessment=(
        "Never measured here: the trained networks could not be had where this was built. What stands below is the "
        "source's claim about its own weights, settings and code, which are not these."
    ),
    quality=(
        Quality(
            measure="place in the MIDRC XAI challenge",
            value="second",
            on="the challenge's hidden portable X-rays, by the original code",
            source=f"{_SOURCE}; the source's own claim",
            is_claimed=True,
        ),
    ),
    limits=(
        "The scores are not calibrated: the probability is none of disease, the extent is no volume.",
        "About 99 % of the source's negatives were below its threshold; ours is a guess until a site sets its own.",
        "Blend, dilation and its levels, the crop of a lung and smallest lungs are our choice: the source is silent.",
        "Decoders' blocks, the end of ConvNeXt's and the lung segmenter are our choice where its figure is silent.",
        "The extent is what the regressor says, without a limit of its own; it is held between 0 and 100 %.",
        "From an extent of about one half on all of a lung is marked, aerated parts too.",
        "The map is over-estimated on purpose; outlines and shares are of the map before that.",
        "Opacity outside what was found as lung is not marked; a wholly white lung may not be found as one.",
        "A lung that was not found, or is tiny, is not judged; the other one is.",
        "Lines, tubes, a heart in front of the lung, atelectasis and effusion may be marked as opacity.",
        "Images that do not say how they lie are taken as upright; a mirrored image is not noticed.",
        "An image of unknown view is refused where its lungs are not those of a frontal one, also for their disease.",
    ),
    references=(
        f"Networks, decisions and limits of the map: {_SOURCE}.",
        "EfficientNet: Tan and Le, ICML 2019, arXiv:1905.11946.",
        "ConvNeXt: Liu et al., CVPR 2022, arXiv:2201.03545.",
        "U-Net: Ronneberger et al., MICCAI 2015, arXiv:1505.04597.",
    ),
    licence="Apache-2.0; weights as their slots say",
    weights=(
        *(f"opacity-explain-{part}-{backbone}" for part in _PARTS for backbone in _BACKBONES),
        "opacity-explain-lungs",
        _LUNG_FIELDS,
    ),
    settings=SETTINGS,
    challenge_map=True,
    at_once=8,
)


class OpacityExplain:
    """The pipeline.

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

    card = CARD

    def __init__(self, weights: Path, settings: Mapping[str, SettingValue] | None = None) -> None:
        self._options = options(settled(CARD, settings or {}))
        self._weights = Shelf(weights).require_for(CARD.name)

    def accepts(self, radiograph: Radiograph) -> Refusal | None:
        """Say why the image does not fit, or None: it must be large enough, and show something."""
        return unfit(radiograph, _INPUT)

    def __call__(self, radiograph: Radiograph, device: str) -> Findings:
        """Decide on and map one image.

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
        """Decide on and map images together: what a call for each would say, with the networks called once for all.

        Parameters
        ----------
        radiographs : sequence of Radiograph
            That `accepts` lets pass; each takes about 30 bytes a pixel, and 50 MB between its score and its map.
        device : str
            Torch device.

        Returns
        -------
        list of Findings or Refusal
            Of each image, in their order.
        """
        # torch and the networks' libraries are imported with these.
        from inference.frontal_lungs import frontal_lungs
        from inference.opacity_explain.cascade import explain
        from inference.opacity_explain.networks import ExplainNetworks

        networks = ExplainNetworks(self._weights, device)
        doubts = [frontal_lungs(one, self._weights[_LUNG_FIELDS], device).check.doubts for one in radiographs]
        found: list[Findings | Refusal | None] = [
            hardly_frontal(one, why, _INPUT) for one, why in zip(radiographs, doubts, strict=True)
        ]
        taken = [number for number, refusal in enumerate(found) if refusal is None]
        explained = explain([radiographs[number].upright_image for number in taken], networks, self._options)
        for number, one in zip(taken, explained, strict=True):
            found[number] = self._findings(radiographs[number], one, doubts[number], networks)
        return [one for one in found if one is not None]

    def _findings(
        self, radiograph: Radiograph, explained: "Explained", doubts: Sequence[str], networks: "ExplainNetworks"
    ) -> Findings:
        from inference.opacity_explain.readout import Readout, warnings

        said = Readout(radiograph=radiograph, explained=explained, options=self._options)
        return Findings(
            algorithm=Algorithm(
                name=CARD.name,
                version=CARD.version,
                weights_sha256=combined_sha256(list(self._weights.values())),
                parameters={**CARD.parameters, **self._options.texts, **networks.parameters},
                decisions=said.decisions(),
            ),
            source_instances=radiograph.sop_instance_uids,
            measurements=said.measurements(),
            headlines=said.headlines,
            categories=said.categories(),
            regions=tuple(said.regions()),
            heatmaps=(said.heatmap(),),
            warnings=(*warnings(said, doubts), *doubts_about(radiograph), *networks.warnings),
        )
