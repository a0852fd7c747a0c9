"""A pipeline that takes bright pixels for opacity, radiographs for it, and an evaluation of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.judging import Settings
from evaluation.outputs import Outputs
from evaluation.rows import Image
from evaluation.run import Subject
from evaluation.truth import Truth
from inference.card import NOT_FOR, RESEARCHERS, ModelCard, XRayInput
from inference.coding import Code
from inference.findings import Algorithm, Findings, Heatmap, Measurement, Purpose, Refusal, Region
from tests.factories import ANATOMY, LUNG, PERCENT
from tests.radiographs import write_xray

SHAPE = (24, 32)
Place = tuple[slice, slice]
OUTPUTS = Outputs(score="Opacity probability", masks=("opacity",), map="opacity probability")
CARD = ModelCard(
    name="brightness",
    version="0.1.0",
    title="Bright pixels",
    purpose="Tests.",
    output="Opacity.",
    intended_users=RESEARCHERS,
    not_for=NOT_FOR,
    input=XRayInput(min_size=(8, 8)),
)
_ONE = Code("1", "UCUM", "no units")


class Brightness:
    """The score is the brightest pixel below the first row, the mask is what is above one half, the map the image."""

    card = CARD

    def __init__(self):
        self.calls = 0

    def accepts(self, radiograph):
        if radiograph.pixel_array.max() > 0:
            return None
        return Refusal(code="empty-image", reason="All pixels have one value.", remedy="Send it again.")

    def __call__(self, radiograph, device):  # noqa: ARG002 - it needs none
        self.calls += 1
        values = _seen(radiograph)
        concept = Code("P", "99OPNODE", "Opacity probability")
        middle = values.shape[2] // 2
        sides = {"right opacity": values > 0.5, "left opacity": values > 0.5}
        sides["right opacity"][:, :, middle:] = False
        sides["left opacity"][:, :, :middle] = False
        return Findings(
            algorithm=Algorithm(
                name="brightness",
                version="0.1.0",
                parameters={"threshold": "0.6", "image": str(self.calls)},
            ),
            source_instances=radiograph.sop_instance_uids,
            measurements=(Measurement(concept=concept, value=100 * float(values.max()), unit=PERCENT),),
            regions=tuple(
                Region(
                    label=label,
                    purpose=Purpose.OPACITY,
                    property_category=ANATOMY,
                    property_type=LUNG,
                    mask=mask,
                )
                for label, mask in sides.items()
                if mask.any()
            ),
            heatmaps=(
                Heatmap(
                    label="opacity probability", quantity=concept, unit=_ONE, values=values, grid=radiograph.geometry
                ),
            ),
        )

    expert_names = ("sharp", "blind")

    def experts(self, radiograph, device) -> Mapping[str, np.ndarray]:  # noqa: ARG002 - it needs none
        whole = _seen(radiograph)[0]
        first = {"sharp": whole, "blind": np.full_like(whole, 0.5)}
        return first if whole.max() > 0.6 else {"sharp": whole}


def _seen(radiograph):
    values = radiograph.pixel_array.copy()
    values[:, 0] = 0  # holds what makes white white
    return values


def subject():
    return Subject(card=CARD, pipeline=Brightness(), device="cpu")


def settings(**changes):
    return Settings(**({"outputs": OUTPUTS} | changes))


def radiograph(folder: Path, number: int, spots: Sequence[tuple[Place, float]]) -> Image:
    """Write an image whose spots have the given values between black and white, a corner being white."""
    pixels = np.zeros(SHAPE, dtype=np.uint16)
    pixels[0, 0] = 4000
    for place, value in spots:
        pixels[place] = round(4000 * value)
    uid = f"1.2.826.0.1.3680043.8.498.13.{number}"
    folder.mkdir(parents=True, exist_ok=True)
    path = write_xray(folder / f"x{number}.dcm", pixels, {"SOPInstanceUID": uid})
    return Image(paths=(path,), uid=uid, names=(uid, path.stem), patient=number)


def labelled(image: Image, label: int) -> tuple[Image, Truth]:
    return image, Truth(label=label)
