"""All boxes that the network names on an image -> what the image is, and which boxes are findings."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.networks.faster_rcnn import NetworkBox
from inference.opacity_boxes.appearances import NO_PNEUMONIA
from inference.opacity_boxes.options import Options
from inference.upright import Rectangle


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What becomes of the boxes of one image.

    Attributes
    ----------
    decisive : NetworkBox or None
        The most certain one; None where none reaches the threshold.
    findings : tuple of NetworkBox
        Of pneumonia, the most certain first.
    left_out : int
        Boxes that would be findings, if there were not so many.
    score : float
        Certainty of the most certain box of all, if it is of pneumonia, else 0: it reaches the threshold where the
        image is not healthy, and nowhere else.
    """

    decisive: NetworkBox | None
    findings: tuple[NetworkBox, ...]
    left_out: int
    score: float

    @property
    def appearance(self) -> str:
        """Class of the image, as the source has it: that of the most certain box, without any no pneumonia."""
        return self.decisive.output if self.decisive else NO_PNEUMONIA

    @property
    def is_healthy(self) -> bool:
        """Whether that class is no pneumonia."""
        return self.appearance == NO_PNEUMONIA


def choose(found: Sequence[NetworkBox], options: Options) -> Choice:
    """Choose among the boxes of one image, the most certain first.

    A box of no pneumonia decides what the image is, and is no finding: there is nothing in it.
    """
    certain = [box for box in found if box.certainty >= options.threshold]
    apart: list[NetworkBox] = []
    for box in certain:
        is_new = all(overlap(box.place, other.place) <= options.overlap for other in apart)
        if box.output != NO_PNEUMONIA and is_new:
            apart.append(box)
    return Choice(
        decisive=certain[0] if certain else None,
        findings=tuple(apart[: options.boxes]),
        left_out=max(0, len(apart) - options.boxes),
        score=found[0].certainty if found and found[0].output != NO_PNEUMONIA else 0.0,
    )


def overlap(one: Rectangle, other: Rectangle) -> float:
    """Return the common part of two rectangles over their union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(0.0, width) * max(0.0, height)
    return common / (_area(one) + _area(other) - common) if common else 0.0


def _area(box: Rectangle) -> float:
    return (box.right - box.left) * (box.bottom - box.top)
