"""The key image of a radiograph: upright, with outlines, and beside it a map of opacity where there is one."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from dicom_out.box_marks import Place, label
from dicom_out.box_marks import outlines as box_outlines
from dicom_out.context import Run
from dicom_out.drawing import BLACK, GRAY, LARGE, SMALL, Outline, Plane, drawn, scale_bar, text
from dicom_out.heat import colour_bar, heat
from dicom_out.legend import legend
from dicom_out.marks import Mark, contours
from inference.findings import Box, Findings, Purpose
from inference.radiograph import Radiograph

_TOP = 8
_GAP = 4
_CAPTION = 32
_BAR_MM = 50
_LETTERS = 0.22
_LETTER = 52
_WIDTH = 2.0
_SAME_SPACING = 0.01


def xray_picture(
    findings: Findings, marks: Sequence[Mark], radiograph: Radiograph, run: Run, *, size: int
) -> Image.Image:
    """Draw the key image of a radiograph, of `size` rows and columns."""
    canvas = Image.new("RGB", (size, size), BLACK)
    words = legend(findings, marks, run, width=size)
    canvas.paste(words, (0, size - words.height))
    maps = [heatmap for heatmap in findings.heatmaps if heatmap.purpose == Purpose.OPACITY][:1]
    width = size // (1 + len(maps))
    room = width - 2 * _GAP, size - words.height - _TOP - _CAPTION
    plane = _plane(marks, radiograph, findings.boxes or ())
    picture = drawn(plane, room)
    top = _TOP + (room[1] - picture.height) // 2
    places = [(index * width + (width - picture.width) // 2, top) for index in range(1 + len(maps))]
    canvas.paste(picture, places[0])
    draw = ImageDraw.Draw(canvas)
    base = top + picture.height + _CAPTION - 9
    text(draw, (_GAP + 12, base), _caption(radiograph), SMALL, GRAY)
    if radiograph.is_spacing_known:
        _draw_scale(draw, (width - 16, base), plane.scale(room), radiograph)
    for heatmap, place in zip(maps, places[1:], strict=True):
        canvas.paste(heat(heatmap, radiograph, drawn(_plane((), radiograph, ()), room)), place)
        colour_bar(draw, canvas, heatmap, (width + 16, base, width - 32))
    letters = [at for place in places for at in _draw_sides(draw, place, picture, radiograph)]
    (left, upper), (across, down) = places[0], picture.size
    label(canvas, (left, upper, left + across, upper + down), findings.boxes or (), radiograph, letters)
    return canvas


def _plane(marks: Sequence[Mark], radiograph: Radiograph, boxes: Sequence[Box]) -> Plane:
    """Return the upright image with the outlines of all marks, those of opacities on top, and then of boxes."""
    turn = radiograph.upright.turn
    _, *spacing = radiograph.geometry.spacing_mm
    row, column = reversed(spacing) if radiograph.upright.transposed else spacing
    return Plane(
        gray=(turn(radiograph.pixel_array[0]) * np.float32(255)).astype(np.uint8),
        spacing=(row, column),
        outlines=(
            *(
                Outline(points=points, rgb=mark.rgb, width=_WIDTH)
                for mark in sorted(marks, key=lambda mark: mark.region.purpose == Purpose.OPACITY)
                for points in contours(turn(mark.region.mask[0]))
            ),
            *box_outlines(boxes, radiograph),
        ),
    )


def _draw_sides(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], picture: Image.Image, radiograph: Radiograph
) -> list[Place]:
    """Name the patient's sides; with a question mark where the image does not state them. Return where."""
    left, top = place
    doubt = "" if radiograph.upright.is_stated else "?"
    level = top + _LETTERS * picture.height
    text(draw, (left + 8, level), f"R{doubt}", LARGE, anchor="lm")
    text(draw, (left + picture.width - 8, level), f"L{doubt}", LARGE, anchor="rm")
    lefts = (left, left + picture.width - _LETTER)
    return [(x, level - LARGE / 2, x + _LETTER, level + LARGE / 2) for x in lefts]


def _draw_scale(
    draw: ImageDraw.ImageDraw, right: tuple[int, int], pixels_per_mm: float, radiograph: Radiograph
) -> None:
    (x, base), length = right, _BAR_MM * pixels_per_mm
    words = f"{_BAR_MM // 10} cm {'(calibrated)' if _is_calibrated(radiograph) else 'at the detector'}"
    scale_bar(draw, (x, base - 8), length)
    text(draw, (x - length - 10, base), words, colour=GRAY, anchor="rs")


def _is_calibrated(radiograph: Radiograph) -> bool:
    """Say whether distances are those in the patient, not those on the image receptor.

    References
    ----------
    PS3.3 10.7.1.3 Pixel Spacing Calibration Macro.
    """
    if not radiograph.has_pixel_spacing:
        return False
    if radiograph.header.get("PixelSpacingCalibrationType"):
        return True
    imager = radiograph.header.get("ImagerPixelSpacing")
    own = radiograph.geometry.spacing_mm[1]
    return bool(imager) and abs(float(imager[0]) - own) > _SAME_SPACING * own


def _caption(radiograph: Radiograph) -> str:
    view = str(radiograph.header.get("ViewPosition") or "").strip()
    turned = radiograph.upright.transposed or radiograph.upright.rows_reversed or radiograph.upright.columns_reversed
    parts = [view or "view not stated", "turned upright" if turned else "", _scale_missing(radiograph)]
    return ", ".join(part for part in parts if part)


def _scale_missing(radiograph: Radiograph) -> str:
    return "" if radiograph.is_spacing_known else "no scale"
