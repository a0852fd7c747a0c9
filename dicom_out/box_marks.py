"""Boxes as all objects show them: a closed line, a Tracking UID, and on pictures a colour and a few words.

References
----------
PS3.3 C.18.6.1.2 Spatial Coordinates: (0, 0) is the corner of the first pixel, its centre is (0.5, 0.5).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.uid import UID

from dicom_out.colours import box_colours
from dicom_out.context import Run
from dicom_out.drawing import MEDIUM, Outline, text, width_of
from dicom_out.uids import tracking_uid
from inference.findings import Box
from inference.radiograph import Radiograph
from inference.upright import Rectangle

_WIDTH = 2.5
_HIGH, _AWAY, _BELOW = 27, 5, 6
_SUFFIX = " appearance"

Place = tuple[float, float, float, float]
"""Left, top, right, bottom on a picture."""


def rectangle(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Return a closed line of (column, row), shape (5, 2)."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return np.array(corners, dtype=np.float64)


def line(box: Box) -> NDArray[np.float64]:
    """Return the edges of a box on the stored pixels, as `rectangle` does."""
    return rectangle(box.left, box.top, box.right, box.bottom)


def box_tracking_uid(box: Box, run: Run) -> UID:
    """Return the Tracking UID (0062,0021): that of the same finding at the same place of the same image."""
    edges = (box.left, box.top, box.right, box.bottom)
    image = str(run.source.SOPInstanceUID)
    return tracking_uid(run.study_instance_uid, "box", image, box.finding.value, *(f"{edge:.2f}" for edge in edges))


def outlines(boxes: Sequence[Box], radiograph: Radiograph) -> tuple[Outline, ...]:
    """Return the lines of boxes on the upright image, the most certain box last."""
    lines = [
        Outline(points=rectangle(place.left, place.top, place.right, place.bottom), rgb=rgb, width=_WIDTH)
        for place, rgb in zip(_upright(boxes, radiograph), box_colours(boxes), strict=True)
    ]
    return tuple(reversed(lines))


def label(
    canvas: Image.Image, picture: Place, boxes: Sequence[Box], radiograph: Radiograph, taken: Sequence[Place]
) -> None:
    """Write at each box what it is of, and how certain that is.

    Parameters
    ----------
    canvas : Image
        Changed in place.
    picture : Place
        Where on it the upright image lies.
    boxes : sequence of Box
        Those that are drawn.
    radiograph : Radiograph
        The image.
    taken : sequence of Place
        Of other words on it.
    """
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = picture
    rows, columns = radiograph.upright_image.shape
    across, down = (right - left) / columns, (bottom - top) / rows
    taken = list(taken)
    for box, at, rgb in zip(boxes, _upright(boxes, radiograph), box_colours(boxes), strict=True):
        words = _words(box)
        edges = (left + at.left * across, top + at.top * down, left + at.right * across, top + at.bottom * down)
        place = _free(edges, width_of(words, MEDIUM), picture, taken)
        taken.append(place)
        text(draw, (place[0], place[3] - _BELOW), words, MEDIUM, rgb, "ls")


def _upright(boxes: Sequence[Box], radiograph: Radiograph) -> list[Rectangle]:
    shape = radiograph.pixel_array.shape[1:]
    return [
        radiograph.upright.turn_rectangle(
            Rectangle(left=box.left, top=box.top, right=box.right, bottom=box.bottom), shape
        )
        for box in boxes
    ]


def _words(box: Box) -> str:
    return f"{box.finding.meaning.removesuffix(_SUFFIX)} {100 * box.certainty:.0f} %"


def _free(edges: Place, width: float, picture: Place, taken: Sequence[Place]) -> Place:
    """Return a place for words by a box, within the picture: above it, below it, in it, or further down or up."""
    x = max(picture[0] + _AWAY, min(edges[0] + _AWAY, picture[2] - width - _AWAY))
    further = (*np.arange(edges[1] + 2 * _HIGH, picture[3], _HIGH), *np.arange(edges[1] - _AWAY, picture[1], -_HIGH))
    bases = (edges[1] - _AWAY, edges[3] + _HIGH, edges[1] + _HIGH, edges[3] - _AWAY, *map(float, further))
    places = [(x, base - _HIGH + _AWAY, x + width, base + _BELOW) for base in bases]
    within = [place for place in places if place[1] >= picture[1] and place[3] <= picture[3]]
    free = [place for place in within if not any(_meet(place, other) for other in taken)]
    return (free or within or places)[0]


def _meet(one: Place, other: Place) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    return across > 0 and min(one[3], other[3]) - max(one[1], other[1]) > 0
