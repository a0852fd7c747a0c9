"""Opacity on a frontal chest X-ray: the ensemble of the MIDRC XAI challenge's fifth place, around a site's weights.

Four experts score the image, three of them and a refinement say where; `inference.opacity_ensemble` holds the steps.
Imports nothing heavy until it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inference.algorithms import algorithm_of
from inference.card import NOT_FOR, RESEARCHERS, ModelCard, Quality, SettingValue, TrainingData, XRayInput
from inference.findings import Findings
from inference.frontal_pipeline import FrontalPipeline
from inference.opacity_ensemble.options import SETTINGS, options
from inference.radiograph import Radiograph
from inference.training_record import training_data
from inference.xray_findings import doubts_about

if TYPE_CHECKING:  # it brings torch
    from inference.frontal_lungs import FrontalLungs
    from inference.networks.xrv import Lungs
    from inference.opacity_ensemble.ensemble import Seen
    from inference.opacity_ensemble.experts import Networks

Floats = NDArray[np.float32]

_INPUT = XRayInput(view_positions=("PA", "AP"), min_size=(256, 256))
_LUNG_FIELDS = "lung-fields"
_SOURCE = "description of the fifth place, MIDRC XAI challenge 2024 (github.com/MIDRC/COVID19_Challenges)"
_LICENCE = "of its provider; not used here"

CARD = ModelCard(
    name="opacity-ensemble",
    version="1.0.0",
    title="Likelihood and map of lung opacity on a frontal chest X-ray, by an ensemble",
    purpose="Score a frontal, as a rule portable, chest X-ray for opacity as of pneumonia, and map where it is.",
    output=(
        "Opacity probability, the mean of four scores, in %, with the decision; each score; 17 other outputs of the "
        "classifier; opacity by side and both lungs as regions, with areas and shares; probability of opacity as a map."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Excluding pneumonia or any other disease.",
        "Telling one cause of opacity from another.",
        "Children, lateral views, animals, photographs of a screen or a film.",
    ),
    input=_INPUT,
    parameters={
        "running_order": "ConvNeXt, nnU-Net 336, nnU-Net 768, refinement",
        "image_score": "maximum of the map",
        "marked_from": "0.5",
        "crop_margin": "a quarter of the longer side of a component, at least 1/32 of that of the image",
        "crops_at_most": "16",
        "speck_below": "1/10000 of the image",
        "lung_dilation": "1/40 of the longer side of the image",
    },
    training=(
        "None here: classifier and lungs are torchxrayvision's, the segmenters those that were submitted to the "
        "challenge, or a site's own. The source trained ConvNeXt from an in-house CLIP on QaTa-COV19, Mendeley and "
        "RSNA (boxes filled), nnU-Net 768 on QaTa-COV19 and Mendeley and then on VinDr with its own labels, refined by "
        "boxes, nnU-Net 336 on QaTa-COV19 and Mendeley with random histogram equalisation, the refinement on crops."
    ),
    training_data=(
        *(
            TrainingData(name=name, images=None, licence=_LICENCE, source=f"{where}, as named in the {_SOURCE}")
            for name, where in (
                ("QaTa-COV19, masks", "kaggle.com/datasets/aysendegerli/qatacov19-dataset"),
                ("Mendeley COVID-19, masks", "data.mendeley.com/datasets/36fjrg9s69/1"),
                ("VinDr-CXR, boxes", "nature.com/articles/s41597-022-01498-w"),
                ("RSNA Pneumonia, boxes", "kaggle.com/competitions/rsna-pneumonia-detection-challenge"),
            )
        ),
        *training_data(_LUNG_FIELDS),
    ),
    assessment=(
        "Never measured here: the trained segmenters could not be had where this was built. What stands below is the "
        "source's claim about its own weights, settings and code, which are not these."
    ),
    quality=(
        Quality(
            measure="place in the MIDRC XAI challenge",
            value="fifth",
            on="the challenge's hidden portable X-rays, by the original code",
            source=f"{_SOURCE}; the source's own claim",
            is_claimed=True,
        ),
    ),
    limits=(
        "The scores are not calibrated: their mean is no probability of disease, whatever its unit.",
        "Zone values, weights, threshold, crops and dilation are our choice: the source does not tell its own.",
        "The weights of the blend are equal until a site calibrates them, which the source did.",
        "Zones: a pixel's zone is the number of runs that mark it; the source's words leave room for other readings.",
        "Weighted: the source ran it twice, with different floors; the setting `floors` gives the second run.",
        "The map is lifted in and around the lungs, and a little everywhere: a value at the floor is no finding.",
        "Of an image that is not square the classifier and the lung network see the square in the middle alone.",
        "The lung network misses dense lung. Opacity beside both lungs goes by the line halfway between them.",
        "The scores of segmenters are the maxima of their maps: one false pixel makes a high score.",
        "Lines, tubes, a heart in front of the lung, atelectasis and effusion may be marked as opacity.",
        "Images that do not say how they lie are taken as upright; a mirrored image is not noticed.",
        "An image of unknown view is refused where its lungs are not those of a frontal one, also for their disease.",
    ),
    references=(
        f"The four steps, the blends and the floors: {_SOURCE}.",
        "torchxrayvision: Cohen et al., MIDL 2022, arXiv:2111.00595.",
        "PSPNet, ChestX-Det: Lian et al., IEEE TMI 2021, arXiv:2104.10326.",
        "ConvNeXt: Liu et al., CVPR 2022, arXiv:2201.03545. FPN: Lin et al., CVPR 2017, arXiv:1612.03144.",
        "nnU-Net: Isensee et al., Nat Methods 2021;18:203.",
    ),
    licence="Apache-2.0; weights as their slots say",
    weights=(
        "xrv-densenet121-all",
        "xrv-pspnet",
        "opacity-ensemble-convnext",
        "opacity-ensemble-nnunet-336",
        "opacity-ensemble-nnunet-768",
        "opacity-ensemble-nnunet-refine",
        _LUNG_FIELDS,
    ),
    settings=SETTINGS,
    challenge_map=True,
    at_once=8,
)


class OpacityEnsemble(FrontalPipeline):
    """The pipeline; an image takes about 40 bytes a pixel."""

    card, reads = CARD, _INPUT

    def __init__(self, weights: Path, settings: Mapping[str, SettingValue] | None = None) -> None:
        super().__init__(weights, settings)
        self._options = options(self._settings)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Of those whose maps are blended, in the order in which they run and their weights are set."""
        from inference.opacity_ensemble.ensemble import RUNNING_ORDER

        return RUNNING_ORDER

    def experts(self, radiograph: Radiograph, device: str) -> dict[str, Floats]:
        """Return each expert's own probability of opacity, as weights are calibrated on it.

        Returns
        -------
        dict of ndarray of float32, shape (rows, columns)
            On the stored pixels, by name, in the running order; without the refinement where it did not run.
        """
        from inference.opacity_ensemble.ensemble import look
        from inference.opacity_ensemble.experts import Networks
        from inference.opacity_ensemble.readout import stored_maps

        (seen,) = look([radiograph.upright_image], Networks(self._weights, device), self._options.threshold)
        return stored_maps(radiograph, seen.maps)

    def _found(
        self, radiographs: Sequence[Radiograph], lungs: "Sequence[FrontalLungs]", device: str
    ) -> Iterator[Findings]:
        # torch and the networks' libraries are imported with these.
        from inference.opacity_ensemble.ensemble import look
        from inference.opacity_ensemble.experts import Networks

        networks = Networks(self._weights, device)
        shown = [radiograph.upright_image for radiograph in radiographs]
        fields = networks.lungs(shown)
        looked = look(shown, networks, self._options.threshold)
        for radiograph, seen, field, frontal in zip(radiographs, looked, fields, lungs, strict=True):
            yield self._findings(radiograph, seen, field, frontal.check.doubts, networks)

    def _findings(
        self, radiograph: Radiograph, seen: "Seen", lungs: "Lungs", doubts: Sequence[str], networks: "Networks"
    ) -> Findings:
        from inference.opacity_ensemble.ensemble import blend
        from inference.opacity_ensemble.readout import Readout, warnings

        masks = lungs.masks
        said = Readout(radiograph=radiograph, seen=seen, blended=blend(seen, masks, self._options), lungs=masks)
        return Findings(
            algorithm=algorithm_of(CARD, self._weights, [self._options.texts, networks.parameters]),
            source_instances=radiograph.sop_instance_uids,
            measurements=tuple(said.measurements()),
            categories=said.categories(),
            regions=tuple(said.regions()),
            heatmaps=(said.heatmap(),),
            warnings=(
                *warnings(said, doubts=doubts, known=lungs.known),
                *doubts_about(radiograph),
                *networks.warnings,
            ),
        )
