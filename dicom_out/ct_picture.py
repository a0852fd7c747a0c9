"""The key image of a CT: a coronal overview, then the most telling axial slices from head to feet.

The overview says where the slices lie. Captions stand below the pictures: what lies at the patient's back, where
lungs fill first, stays free.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from dicom_out.context import Run
from dicom_out.drawing import BLACK, GRAY, MEDIUM, SMALL, WHITE, drawn, fitted, scale_bar, text
from dicom_out.legend import legend
from dicom_out.marks import Mark
from dicom_out.telling_slices import areas
from dicom_out.views import Sheet, View, sheet
from inference.findings import Findings, Purpose
from inference.series import Series

_TOP = 8
_ACROSS = 3
_GAP = 4
_CAPTION = 27
_BAR_MM = 30
_NUMBER_STEP = 23
_INSET = 38
"""Room for the numbers on both sides of the overview."""
_FREE_OF_TEXT = 32
"""Pixels from the upper edge, which viewers cover with a bar."""
_LINE = (200, 200, 200)
_LETTERS = 0.22
"""Where the letters of the sides stand, from the upper edge of a view: beside the lungs, not on them."""


def ct_picture(findings: Findings, marks: Sequence[Mark], series: Series, run: Run, *, size: int) -> Image.Image:
    """Draw the key image of a CT, of `size` rows and columns."""
    shown = sheet(marks, series)
    canvas = Image.new("RGB", (size, size), BLACK)
    words = legend(findings, marks, run, where=_where(marks, shown), width=size)
    canvas.paste(words, (0, size - words.height))
    rows = -(-(1 + len(shown.axial)) // _ACROSS)
    cell = size // _ACROSS, (size - words.height - _TOP) // rows
    room = cell[0] - _GAP, cell[1] - _CAPTION - _GAP
    most = _most(marks, shown)
    panels = [_overview(shown, room)]
    panels += [_panel(view, room, f"{i}", is_framed=i == most) for i, view in enumerate(shown.axial, start=1)]
    for place, panel in enumerate(panels):
        canvas.paste(panel, (place % _ACROSS * cell[0], _TOP + place // _ACROSS * cell[1]))
    return canvas


def _panel(view: View, room: tuple[int, int], name: str, *, is_framed: bool = False, inset: int = 0) -> Image.Image:
    """Draw one view in the middle of its room, its caption below."""
    panel = Image.new("RGB", (room[0], room[1] + _CAPTION), BLACK)
    inner = room[0] - 2 * inset, room[1]
    picture = drawn(view.plane, inner)
    left, top = (room[0] - picture.width) // 2, (room[1] - picture.height) // 2
    panel.paste(picture, (left, top))
    draw = ImageDraw.Draw(panel)
    base = room[1] + _CAPTION - 5
    text(draw, (4, base), name, MEDIUM, WHITE)
    bar, x = _BAR_MM * view.plane.scale(inner), 30 if name else 4
    caption = fitted(view.name, room[0] - x - bar - 12, ending=view.position)
    text(draw, (x, base), caption, SMALL, GRAY)
    level = top + _LETTERS * picture.height
    text(draw, (left + 5, level), view.left, MEDIUM, WHITE, "lm")
    text(draw, (left + picture.width - 5, level), view.right, MEDIUM, WHITE, "rm")
    scale_bar(draw, (room[0] - 6, base - 8), bar)
    if is_framed:
        draw.rectangle([left, top, left + picture.width - 1, top + picture.height - 1], outline=WHITE, width=2)
    return panel


def _overview(shown: Sheet, room: tuple[int, int]) -> Image.Image:
    """Draw the coronal view with the axial slices as lines and their numbers beside it, odd ones on the left."""
    panel = _panel(shown.coronal, room, "", inset=_INSET)
    width, height = shown.coronal.plane.size((room[0] - 2 * _INSET, room[1]))
    left, top = (room[0] - width) // 2, (room[1] - height) // 2
    scale = height / shown.coronal.plane.gray.shape[0]
    draw = ImageDraw.Draw(panel)
    levels = [top + row * scale for row in shown.rows]
    for y in levels:
        draw.line([(left, y), (left + width, y)], fill=_LINE, width=1)
    for first, edge, x, anchor in ((0, left, left - 20, "rm"), (1, left + width, left + width + 20, "lm")):
        side = list(enumerate(levels, start=1))[first::2]
        for (number, y), place in zip(side, _spread([y for _, y in side], room[1]), strict=True):
            draw.line([(edge, y), (x + (4 if anchor == "rm" else -4), place)], fill=_LINE, width=1)
            text(draw, (x, place), f"{number}", SMALL, WHITE, anchor)
    return panel


def _spread(levels: Sequence[float], height: int) -> list[float]:
    """Return places for numbers, as near to their lines as they can be read."""
    places: list[float] = []
    for y in levels:
        places.append(max(y, places[-1] + _NUMBER_STEP if places else _FREE_OF_TEXT))
    lowest = height - _NUMBER_STEP / 2
    for i in reversed(range(len(places))):
        places[i] = min(places[i], lowest)
        lowest = places[i] - _NUMBER_STEP
    return places


def _most(marks: Sequence[Mark], shown: Sheet) -> int | None:
    """Return the number of the panel that shows most of the opacity."""
    areas = [
        sum(int(mark.areas[view.index or 0]) for mark in marks if mark.region.purpose == Purpose.OPACITY)
        for view in shown.axial
    ]
    return 1 + areas.index(max(areas)) if any(areas) else None


def _where(marks: Sequence[Mark], shown: Sheet) -> str:
    slices = areas([mark for mark in marks if mark.region.purpose == Purpose.OPACITY], shown.count)
    return f" on {(slices > 0).sum()} of {shown.count} slices, most of it on panel {_most(marks, shown)} (framed)"
