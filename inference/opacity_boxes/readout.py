"""What the network says of a radiograph -> findings, on its stored pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.codes import LEFT, LEFT_LUNG, LUNG, PERCENT, RIGHT, RIGHT_LUNG, SCHEME
from inference.coding import Code
from inference.findings import Box, Category, Measurement, Site
from inference.opacity_boxes.appearances import CODES
from inference.opacity_boxes.choice import Choice
from inference.opacity_boxes.prepared import Prepared
from inference.radiograph import Radiograph
from inference.upright import Rectangle
from inference.wording import counted

_SCORE = Code("CXRNOTHEALTHYSCORE", SCHEME, "Not healthy, certainty")
_THRESHOLD = Code("CXRBOXTHRESHOLD", SCHEME, "Certainty, threshold")
_HEALTH = Code("CXRHEALTH", SCHEME, "Lungs")
_HEALTHY = Code("CXRHEALTHY", SCHEME, "Healthy")
_NOT_HEALTHY = Code("CXRNOTHEALTHY", SCHEME, "Not healthy")
_APPEARANCE = Code("CXRAPPEARANCE", SCHEME, "Appearance (secondary)")
_DIGITS = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readout:
    """What is said of one radiograph.

    Attributes
    ----------
    radiograph : Radiograph
        The source.
    shown : Prepared
        What the network looked at.
    choice : Choice
        Among its boxes.
    threshold : float
        From which certainty on they count.
    lungs : ndarray of bool, shape (2, rows, columns)
        Right and left, on the upright image; empty where not found.
    """

    radiograph: Radiograph
    shown: Prepared
    choice: Choice
    threshold: float
    lungs: NDArray[np.bool_]

    def measurements(self) -> tuple[Measurement, ...]:
        """Return how certain it is that the image is not healthy, and what decides."""
        return (_percent(_SCORE, self.choice.score), _percent(_THRESHOLD, self.threshold))

    def categories(self) -> tuple[Category, ...]:
        """Return healthy or not, and the class of the image."""
        decisive = self.choice.decisive
        return (
            Category(concept=_HEALTH, value=_HEALTHY if self.choice.is_healthy else _NOT_HEALTHY),
            Category(
                concept=_APPEARANCE,
                value=CODES[self.choice.appearance],
                confidence=decisive.certainty if decisive else None,
            ),
        )

    def boxes(self) -> Iterator[Box]:
        """Yield the boxes that are findings."""
        for number, box in enumerate(self.choice.findings, start=1):
            upright = self.shown.to_image(box.place)
            stored = self._stored(upright)
            yield Box(
                label=f"box {number}",
                finding=CODES[box.output],
                left=stored.left,
                top=stored.top,
                right=stored.right,
                bottom=stored.bottom,
                certainty=box.certainty,
                site=self._site(upright),
            )

    def warnings(self, doubts: Sequence[str]) -> Iterator[str]:
        """Yield what a reader must know, the gravest first; `doubts` speak against a frontal image."""
        yield self._verdict()
        if doubts:
            yield f"Hardly a frontal chest image, says lung-fields: {'; '.join(doubts)}."
        choice = self.choice
        if choice.findings and choice.is_healthy:
            yield "Boxes of pneumonia are drawn beside a more certain one of no pneumonia."
        if choice.left_out:
            more = counted(choice.left_out, "more box", "more boxes")
            yield f"{more}, less certain, {'is' if choice.left_out == 1 else 'are'} not drawn."
        if not self.shown.is_cropped:
            yield "Rows and columns do not show where the lungs are: the whole image was looked at."
        if not choice.is_healthy:
            yield "Which appearance it is, is uncertain: the network's authors found that it tells healthy or not."

    def _verdict(self) -> str:
        decisive, of = self.choice.decisive, f"the threshold of {100 * self.threshold:.0f} %"
        if decisive is None:
            return f"Healthy: no box reaches {of}. That excludes nothing."
        said = f"the most certain box, of {decisive.output}, has {100 * decisive.certainty:.0f} %, at or above {of}"
        return f"Healthy: {said}. That excludes nothing." if self.choice.is_healthy else f"Not healthy: {said}."

    def _stored(self, upright: Rectangle) -> Rectangle:
        """Return a box on the stored pixels, none of it beyond them."""
        stored = self.radiograph.upright.turn_rectangle_back(upright, self.lungs.shape[1:])
        rows, columns = self.radiograph.pixel_array.shape[1:]
        return Rectangle(
            left=max(0.0, stored.left),
            top=max(0.0, stored.top),
            right=min(float(columns), stored.right),
            bottom=min(float(rows), stored.bottom),
        )

    def _site(self, upright: Rectangle) -> Site:
        """Return on which side of the line halfway between the lungs the middle of a box lies."""
        if not self.lungs.any(axis=(1, 2)).all():
            return Site(location=LUNG)
        columns = np.arange(self.lungs.shape[2]) + 0.5
        right, left = (float(np.average(columns, weights=lung.sum(axis=0))) for lung in self.lungs)
        if (upright.left + upright.right) / 2 < (right + left) / 2:
            return Site(location=RIGHT_LUNG, laterality=RIGHT)
        return Site(location=LEFT_LUNG, laterality=LEFT)


def _percent(concept: Code, share: float) -> Measurement:
    return Measurement(concept=concept, value=round(100.0 * share, _DIGITS), unit=PERCENT)
