"""Boxes round opacity on a frontal chest X-ray, and whether it is healthy: a site's Faster R-CNN.

The network is that of a course's entry to the SIIM-FISABIO-RSNA challenge; `inference.opacity_boxes` holds what is done
before and after it. Imports nothing heavy until it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference.card import NOT_FOR, RESEARCHERS, ModelCard, Quality, SettingValue, TrainingData, XRayInput
from inference.findings import Findings
from inference.frontal_pipeline import FrontalPipeline
from inference.opacity_boxes.options import SETTINGS, options
from inference.radiograph import Radiograph
from inference.training_record import training_data
from inference.xray_findings import doubts_about

if TYPE_CHECKING:  # they bring torch
    from inference.frontal_lungs import FrontalLungs
    from inference.networks.answers import Answers
    from inference.networks.faster_rcnn import NetworkBox
    from inference.opacity_boxes.prepared import Prepared

_INPUT = XRayInput(view_positions=("PA", "AP"), min_size=(256, 256))
_WEIGHTS, _LUNG_FIELDS = "opacity-boxes", "lung-fields"
_SOURCE = "slides of Pertoldi and Robinson-Tait, Identifying Opacities in Lung X-Rays (Niels Bohr Institute, 2021)"
_ON = "a fifth of the challenge's training images, by the original code"

CARD = ModelCard(
    name="opacity-boxes",
    version="1.0.0",
    title="Boxes round opacity on a frontal chest X-ray, and healthy or not",
    purpose="Say whether a frontal chest X-ray looks healthy, and draw boxes round what does not.",
    output=(
        "Healthy or not healthy, with a certainty in %; the class of the image, as a secondary result; at most five "
        "boxes with their class (typical, indeterminate or atypical appearance) and certainty in %."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Excluding pneumonia or any other disease: healthy means that no box was drawn.",
        "Telling typical, indeterminate and atypical appearance from one another.",
        "Children, lateral views, animals, photographs of a screen or a film.",
    ),
    input=_INPUT,
    parameters={
        "network": "Faster R-CNN, ResNet-50, feature pyramid; shorter side 800, longer one at most 1333",
        "crop": "to the lungs by the mean grey of rows and columns, 3 % beyond, and to all that lung-fields calls lung",
        "greys": "256, histogram equalised within the crop",
        "image_class": "that of the most certain box; no pneumonia where none reaches the threshold",
    },
    training=(
        "None here: a site brings its weights, made by `opacity-node train opacity-boxes` or elsewhere. The source "
        "started from COCO, replaced the head, and trained by stochastic gradient descent on the challenge's images "
        "in groups by patient."
    ),
    training_data=(
        TrainingData(
            name="SIIM-FISABIO-RSNA COVID-19 detection, boxes",
            images=6334,
            licence="of its provider; not used here",
            source=f"kaggle.com/competitions/siim-covid19-detection, as named in the {_SOURCE}",
        ),
        *training_data(_LUNG_FIELDS),
    ),
    assessment=(
        "Never measured here: its weights are not public. What stands below is the source's claim about its own "
        "weights and code, which are not these."
    ),
    quality=(
        Quality(
            measure="no pneumonia called no pneumonia", value="150 of 150", on=_ON, source=_SOURCE, is_claimed=True
        ),
        Quality(
            measure="typical pneumonia called not healthy", value="197 of 216", on=_ON, source=_SOURCE, is_claimed=True
        ),
        Quality(
            measure="atypical pneumonia called not healthy", value="71 of 103", on=_ON, source=_SOURCE, is_claimed=True
        ),
        Quality(measure="indeterminate called not healthy", value="24 of 29", on=_ON, source=_SOURCE, is_claimed=True),
        Quality(
            measure="atypical or indeterminate called by its name",
            value="0 of 132",
            on=_ON,
            source=_SOURCE,
            is_claimed=True,
        ),
    ),
    limits=(
        "The class of an image and of a box is secondary: the source's network never named the last two classes.",
        "Certainties are not calibrated and no probabilities: the source could not classify images by them.",
        "A healthy image with a little pneumonia is called healthy too, as a tenth to a third was in the source.",
        "A box of no pneumonia decides what the image is, and is not drawn: there is nothing in it.",
        "Threshold, overlap of two classes, and how lungs are found by rows and columns are our choice.",
        "Images are made smaller without aliasing, which torchvision, and so perhaps the source, did not care for.",
        "What lies beyond the crop is not looked at, as opacity at the edge of a wholly white lung may.",
        "A box is as large as the network says: opacity may reach beyond it, and healthy lung lie in it.",
        "Lines, tubes, a heart in front of the lung, atelectasis and effusion may be boxed as pneumonia.",
        "Images that do not say how they lie are taken as upright; a mirrored image is not noticed.",
        "An image of unknown view is refused where its lungs are not those of a frontal one, also for their disease.",
    ),
    references=(
        f"Data, crop, network, training and results: {_SOURCE}.",
        "Faster R-CNN: Ren et al., NeurIPS 2015, arXiv:1506.01497. FPN: Lin et al., CVPR 2017, arXiv:1612.03144.",
        "Typical, indeterminate, atypical appearance: Litmanovich et al., J Thorac Imaging 2020;35:354.",
    ),
    licence="Apache-2.0; weights as their slot says",
    weights=(_WEIGHTS, _LUNG_FIELDS),
    settings=SETTINGS,
    at_once=8,
)


class OpacityBoxes(FrontalPipeline):
    """The pipeline."""

    card, reads = CARD, _INPUT

    def __init__(self, weights: Path, settings: Mapping[str, SettingValue] | None = None) -> None:
        super().__init__(weights, settings)
        self._options = options(self._settings)

    def _found(
        self, radiographs: Sequence[Radiograph], lungs: "Sequence[FrontalLungs]", device: str
    ) -> Iterator[Findings]:
        # torch is imported with these.
        from inference.networks import faster_rcnn
        from inference.opacity_boxes.appearances import checked
        from inference.opacity_boxes.prepared import prepared

        weights = self._weights[_WEIGHTS]
        checked(weights)
        shown = [
            prepared(one.upright_image, faster_rcnn.R50.size, seen.masks[0] | seen.masks[1])
            for one, seen in zip(radiographs, lungs, strict=True)
        ]
        said = faster_rcnn.boxes(weights, [one.pixels for one in shown], device, overlap=self._options.overlap)
        for place, (radiograph, seen) in enumerate(zip(radiographs, lungs, strict=True)):
            yield self._findings(radiograph, seen, shown[place], said, place)

    def _findings(
        self,
        radiograph: Radiograph,
        lungs: "FrontalLungs",
        shown: "Prepared",
        said: "Answers[tuple[NetworkBox, ...]]",
        place: int,
    ) -> Findings:
        from inference.algorithms import algorithm_of
        from inference.opacity_boxes.choice import choose
        from inference.opacity_boxes.readout import Readout

        readout = Readout(
            radiograph=radiograph,
            shown=shown,
            choice=choose(said.each[place], self._options),
            threshold=self._options.threshold,
            lungs=lungs.masks,
        )
        return Findings(
            algorithm=algorithm_of(CARD, self._weights, [self._options.texts, said.parameters]),
            source_instances=radiograph.sop_instance_uids,
            measurements=readout.measurements(),
            categories=readout.categories(),
            boxes=tuple(readout.boxes()),
            warnings=(*readout.warnings(lungs.check.doubts), *doubts_about(radiograph, areas=False), *said.warnings),
        )
