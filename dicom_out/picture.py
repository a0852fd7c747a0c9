"""The key image as a person sees it: four panels above, the numbers in words below.

Readable at half its size. No text lies at the top edge, which viewers cover with a cine bar, and none names the
patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from dicom_out.colours import RGB
from dicom_out.context import Run
from dicom_out.marks import Mark
from dicom_out.plain import plain
from dicom_out.product import RESEARCH_NOTICE
from dicom_out.views import WINDOW_CENTER, WINDOW_WIDTH, View, views
from inference.findings import Findings, Measurement
from inference.series import Series
from inference.wording import unit_shown

SIZE = 1024
_PANEL = (512, 372)
_PANELS_TOP = 8
_FOOTER_TOP = _PANELS_TOP + 2 * _PANEL[1] + 8
_MARGIN = 16
_LINE_HEIGHT = 33
_WHITE, _GRAY, _YELLOW, _BLACK = (255, 255, 255), (185, 185, 185), (255, 214, 0), (0, 0, 0)
_BAR_MM = 50
_ROWS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """A line of the legend; where it is too long the text gives way, never the number."""

    text: str
    number: str = ""
    rgb: RGB | None = None


def picture(findings: Findings, marks: Sequence[Mark], series: Series, run: Run) -> bytes:
    """Draw the key image.

    Returns
    -------
    bytes
        RGB, 8 bit, interleaved, `SIZE` rows of `SIZE` pixels.
    """
    canvas = Image.new("RGB", (SIZE, SIZE), _BLACK)
    for index, view in enumerate(views(marks, series)):
        place = index if view.title != "coronal" else 3
        canvas.paste(_panel(view), ((place % 2) * _PANEL[0], _PANELS_TOP + (place // 2) * _PANEL[1]))
    draw = ImageDraw.Draw(canvas)
    _draw_legend(draw, findings, marks)
    _draw_facts(draw, findings, run)
    return canvas.tobytes()


def _panel(view: View) -> Image.Image:
    """Draw one view, as large as it fits with its true aspect."""
    width, height = _PANEL[0] - 4, _PANEL[1] - 4
    rows_mm, columns_mm = view.spacing_mm
    rows, columns = view.gray.shape
    pixels_per_mm = min(width / (columns * columns_mm), height / (rows * rows_mm))
    size = max(1, round(columns * columns_mm * pixels_per_mm)), max(1, round(rows * rows_mm * pixels_per_mm))
    panel = Image.new("RGB", _PANEL, _BLACK)
    left, top = (_PANEL[0] - size[0]) // 2, (_PANEL[1] - size[1]) // 2
    panel.paste(Image.fromarray(view.gray).resize(size, Image.Resampling.BICUBIC).convert("RGB"), (left, top))
    draw = ImageDraw.Draw(panel)
    scale = (columns_mm * pixels_per_mm, rows_mm * pixels_per_mm)
    for rgb, line in view.lines:
        points = [(left + column * scale[0], top + row * scale[1]) for column, row in line.tolist()]
        draw.line(points, fill=rgb, width=2, joint="curve")
    _draw_frame(draw, view, pixels_per_mm)
    return panel


def _draw_frame(draw: ImageDraw.ImageDraw, view: View, pixels_per_mm: float) -> None:
    """Draw which view it is, which side is which, and a scale bar."""
    width, height = _PANEL
    window = f"C {WINDOW_CENTER:.0f} W {WINDOW_WIDTH:.0f}"
    _text(draw, (12, height - 42), view.title, 24, _WHITE, "ls")
    _text(draw, (12, height - 14), window, 20, _WHITE, "ls")
    _text(draw, (10, height // 2), view.left, 28, _WHITE, "lm")
    _text(draw, (width - 10, height // 2), view.right, 28, _WHITE, "rm")
    length = round(_BAR_MM * pixels_per_mm)
    right, base = width - 14, height - 14
    draw.line([(right - length, base), (right, base)], fill=_WHITE, width=3)
    for end in (right - length, right):
        draw.line([(end, base - 6), (end, base + 6)], fill=_WHITE, width=3)
    _text(draw, (right - length // 2, base - 10), f"{_BAR_MM // 10} cm", 22, _WHITE, "ms")


def _draw_legend(draw: ImageDraw.ImageDraw, findings: Findings, marks: Sequence[Mark]) -> None:
    """List the numbers of the whole series on the left, each region in its colour on the right."""
    series = [_Entry(text=m.concept.meaning, number=_number(m)) for m in findings.measurements]
    series += [_Entry(text=f"{c.concept.meaning}: {c.value.meaning}") for c in findings.categories]
    regions = [_headline(mark) for mark in marks]
    overflow = regions[_ROWS : 2 * _ROWS]
    for x, rows in ((_MARGIN, series[: _ROWS - len(overflow)] + overflow), (SIZE // 2 + _MARGIN, regions[:_ROWS])):
        for row, entry in enumerate(rows):
            _draw_entry(draw, (x, _FOOTER_TOP + 18 + row * _LINE_HEIGHT), entry)


def _draw_entry(draw: ImageDraw.ImageDraw, position: tuple[int, int], entry: _Entry) -> None:
    (x, y), width = position, SIZE // 2 - 2 * _MARGIN
    if entry.rgb is not None:
        draw.rectangle([x, y - 10, x + 20, y + 10], fill=entry.rgb)
        x, width = x + 32, width - 32
    _text(draw, (x, y), _fitted(entry.text, 25, width, entry.number), 25, _WHITE, "lm")


def _draw_facts(draw: ImageDraw.ImageDraw, findings: Findings, run: Run) -> None:
    """Draw what a reader must know before believing the numbers."""
    bottom, width = SIZE - 14, SIZE - 2 * _MARGIN
    if findings.warnings:
        more = f" (+{len(findings.warnings) - 1} in the report)" if len(findings.warnings) > 1 else ""
        note = _fitted(f"Note: {findings.warnings[0]}", 22, width, more)
        _text(draw, (_MARGIN, bottom - 36), note, 22, _YELLOW, "ls")
    _text(draw, (_MARGIN, bottom), RESEARCH_NOTICE, 26, _YELLOW, "ls")
    made = f" {findings.algorithm.version}, {run.local_time():%Y-%m-%d %H:%M}"
    room = width - _MARGIN - round(_font(26).getlength(RESEARCH_NOTICE))
    _text(draw, (SIZE - _MARGIN, bottom), _fitted(findings.algorithm.name, 22, room, made), 22, _GRAY, "rs")


def _headline(mark: Mark) -> _Entry:
    numbers = mark.region.measurements[:1]
    if not numbers:
        return _Entry(rgb=mark.rgb, text=mark.region.label)
    return _Entry(rgb=mark.rgb, text=f"{mark.region.label}: {numbers[0].concept.meaning}", number=_number(numbers[0]))


def _number(measurement: Measurement) -> str:
    unit = unit_shown(measurement.unit.value)
    value = measurement.value
    digits = 0 if abs(value) >= 100 else 1
    text = f"{value:.{digits}f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"
    return f" {text} {unit}".rstrip()


def _fitted(text: str, size: int, width: int, ending: str = "") -> str:
    """Return a text cut to a width in pixels; the ending is always kept."""
    text = plain(text)
    if _font(size).getlength(text + ending) <= width:
        return text + ending
    while text and _font(size).getlength(f"{text}...{ending}") > width:
        text = text[:-1].rstrip()
    return f"{text}...{ending}"


def _text(draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, size: int, colour: RGB, anchor: str) -> None:
    draw.text(position, text, font=_font(size), fill=colour, anchor=anchor, stroke_width=2, stroke_fill=_BLACK)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType.")
    return font
