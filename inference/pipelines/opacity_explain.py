"""Opacity on a frontal chest X-ray, with reasons: the cascade of the MIDRC XAI challenge's runner-up.

Classifiers decide whether there is opacity, regressors how far it extends in either lung, decoders where they saw it.
The weights are a site's; `inference.opacity_explain` holds the steps. Imports nothing heavy until it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference.algorithms import algorithm_of
from inference.card import NOT_FOR, RESEARCHERS, ModelCard, Quality, SettingValue, TrainingData, XRayInput
from inference.findings import Findings
from inference.frontal_pipeline import FrontalPipeline
from inference.opacity_explain.options import SETTINGS, options
from inference.radiograph import Radiograph
from inference.training_record import training_data
from inference.xray_findings import doubts_about

if TYPE_CHECKING:  # it brings torch
    from inference.frontal_lungs import FrontalLungs
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


class OpacityExplain(FrontalPipeline):
    """The pipeline; an image takes about 30 bytes a pixel, and 50 MB between its scores and its map."""

    card, reads = CARD, _INPUT

    def __init__(self, weights: Path, settings: Mapping[str, SettingValue] | None = None) -> None:
        super().__init__(weights, settings)
        self._options = options(self._settings)

    def _found(
        self, radiographs: Sequence[Radiograph], lungs: "Sequence[FrontalLungs]", device: str
    ) -> Iterator[Findings]:
        # torch and the networks' libraries are imported with these.
        from inference.opacity_explain.cascade import explain
        from inference.opacity_explain.networks import ExplainNetworks

        networks = ExplainNetworks(self._weights, device)
        explained = explain([radiograph.upright_image for radiograph in radiographs], networks, self._options)
        for radiograph, one, seen in zip(radiographs, explained, lungs, strict=True):
            yield self._findings(radiograph, one, seen.check.doubts, networks)

    def _findings(
        self, radiograph: Radiograph, explained: "Explained", doubts: Sequence[str], networks: "ExplainNetworks"
    ) -> Findings:
        from inference.opacity_explain.readout import Readout, warnings

        said = Readout(radiograph=radiograph, explained=explained, options=self._options)
        return Findings(
            algorithm=replace(
                algorithm_of(CARD, self._weights, [self._options.texts, networks.parameters]),
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
