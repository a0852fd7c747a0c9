"""The words below the pictures of a key image: what was found, the numbers as a table, what ran, and its warnings."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from pydicom.sr.coding import Code

from dicom_out import drawing
from dicom_out.colours import RGB
from dicom_out.context import Run
from dicom_out.drawing import GRAY, LARGE, MEDIUM, WHITE, YELLOW, fitted, text, width_of, wrapped
from dicom_out.marks import Mark
from dicom_out.product import RESEARCH_NOTICE
from inference.findings import Findings, Measurement, Purpose
from inference.wording import counted, unit_shown

_MARGIN = 16
_LINE, _ROW = 29, 27
_COLUMNS, _GAP, _SWATCH = 4, 18, 26
_LONGEST_TITLE = 150
_ROWS = 6
_ANSWERS = 2
_WARNING_LINES = 3
_HEX_DIGITS = 8
_BILATERAL = "51440002"
"""SCT, CID 244."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """A column of the table: the whole selection, or one region in its colour."""

    title: str
    measurements: tuple[Measurement, ...]
    rgb: RGB | None = None
    headlines: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A line of words."""

    words: str
    colour: RGB = WHITE


def legend(findings: Findings, marks: Sequence[Mark], run: Run, *, where: str = "", width: int) -> Image.Image:
    """Write what a reader must know to believe, or not to believe, what is drawn.

    Parameters
    ----------
    findings : Findings
        Numbers and warnings.
    marks : sequence of Mark
        Regions, in the colours in which they are drawn.
    run : Run
        What ran, and when.
    where : str
        Of opacity, if any is marked: ends the sentence that says so.
    width : int
        Of the legend; it is as high as it has to be.
    """
    tabled = _tabled(marks, _COLUMNS - bool(findings.measurements))
    others = [mark for mark in marks if mark not in tabled]
    columns = _columns(findings, tabled)
    rows = _rows(columns)
    after = [*_more(findings, rows=len(rows)), *_warnings(findings, width - 2 * _MARGIN)]
    table_height = _ROW * (1 + min(len(rows), _ROWS)) + _LINE * bool(others)
    picture = Image.new("RGB", (width, _LINE + 12 + table_height + _LINE * (len(after) + 1) + 10), drawing.BLACK)
    draw = ImageDraw.Draw(picture)
    statement = fitted(_statement(findings, marks, where), width - 2 * _MARGIN, LARGE)
    text(draw, (_MARGIN, _LINE), statement, LARGE)
    top = _LINE + 12
    first = _draw_table(draw, top, width, columns, rows[:_ROWS])
    model = fitted(run.algorithm.name, first - _MARGIN, ending=f" {run.algorithm.version}")
    text(draw, (_MARGIN, top + _ROW - 7), model, colour=GRAY)
    _draw_key(draw, top + table_height - 6, width, others)
    for index, line in enumerate(after):
        text(draw, (_MARGIN, top + table_height + _LINE * (index + 1) - 6), line.words, colour=line.colour)
    base = picture.height - 12
    text(draw, (_MARGIN, base), RESEARCH_NOTICE, MEDIUM, YELLOW)
    text(draw, (width - _MARGIN, base), _made(run), colour=GRAY, anchor="rs")
    return picture


def _statement(findings: Findings, marks: Sequence[Mark], where: str) -> str:
    """Say whether opacity was found: silence could be read as its absence."""
    opacities = [mark for mark in marks if mark.region.purpose == Purpose.OPACITY]
    if opacities:
        return "No opacity marked" if all(mark.is_empty for mark in opacities) else f"Opacity marked{where}"
    is_sought = findings.categories or any(heatmap.purpose == Purpose.OPACITY for heatmap in findings.heatmaps)
    if is_sought:
        return "Opacity was not outlined"
    return "Lungs outlined; opacity was not looked for" if marks else "Opacity was not looked for"


def _tabled(marks: Sequence[Mark], room: int) -> list[Mark]:
    """Return the regions that get a column: opacities before others, in the order of the findings."""
    preferred = sorted(marks, key=lambda mark: mark.region.purpose != Purpose.OPACITY)[:room]
    return [mark for mark in marks if mark in preferred]


def _columns(findings: Findings, marks: Sequence[Mark]) -> list[_Column]:
    about_all = _Column(title=_whole(findings), measurements=findings.measurements, headlines=findings.headlines)
    whole = [about_all] if findings.measurements else []
    regions = [_Column(title=mark.region.label, measurements=mark.region.measurements, rgb=mark.rgb) for mark in marks]
    return whole + regions


def _whole(findings: Findings) -> str:
    """Return what the measurements of the whole selection are about."""
    sites = {measurement.site for measurement in findings.measurements if measurement.site}
    if len(sites) != 1:
        return "in all"
    site = sites.pop()
    name = site.location.meaning.lower()
    return f"both {name}s" if site.laterality and site.laterality.value == _BILATERAL else name


def _rows(columns: Sequence[_Column]) -> list[tuple[Code, Code]]:
    """Return each concept with its unit once: what columns lead with, then the rest in the order of the findings."""
    leading = [m for column in columns for m in column.measurements[: column.headlines]]
    rest = [m for column in columns for m in column.measurements[column.headlines :]]
    return list(dict.fromkeys((m.concept, m.unit) for m in (*leading, *rest)))


def _draw_table(
    draw: ImageDraw.ImageDraw, top: int, width: int, columns: Sequence[_Column], rows: Sequence[tuple[Code, Code]]
) -> float:
    """Draw the table from the right, and return where its first column of numbers begins."""
    right = float(width - _MARGIN)
    for column in reversed(columns):
        title = fitted(column.title, _LONGEST_TITLE)
        cells = [_cell(column, row) for row in rows]
        base = top + _ROW - 7
        text(draw, (right, base), title, colour=WHITE if column.rgb else GRAY, anchor="rs")
        for index, words in enumerate(cells, start=1):
            text(draw, (right, base + index * _ROW), words, anchor="rs")
        left = right - width_of(title)
        if column.rgb is not None:
            left -= _SWATCH
            drawing.swatch(draw, (left, base - 8), column.rgb)
        right = min(left, right - max(map(width_of, cells), default=0)) - _GAP
    for index, (concept, unit) in enumerate(rows, start=1):
        shown = unit_shown(unit.value)
        words = fitted(concept.meaning, right - _MARGIN, ending=f" [{shown}]" if shown else "")
        text(draw, (_MARGIN, top + (index + 1) * _ROW - 7), words)
    return right


def _draw_key(draw: ImageDraw.ImageDraw, base: int, width: int, marks: Sequence[Mark]) -> None:
    """Name the regions without a column beside their colours, and how many more there are."""
    x = float(_MARGIN)
    for index, mark in enumerate(marks):
        words = fitted(mark.region.label, _LONGEST_TITLE)
        more = f"+ {counted(len(marks) - index, 'region')} in the report"
        if x + _SWATCH + width_of(words) + _GAP + width_of(more) > width - _MARGIN:
            text(draw, (x, base), more, colour=GRAY)
            return
        drawing.swatch(draw, (x, base - 8), mark.rgb)
        text(draw, (x + _SWATCH, base), words)
        x += _SWATCH + width_of(words) + _GAP


def _cell(column: _Column, row: tuple[Code, Code]) -> str:
    values = [m.value for m in column.measurements if (m.concept, m.unit) == row]
    return number(values[0]) if values else "-"


def _more(findings: Findings, *, rows: int) -> list[_Line]:
    """Return coded answers, and how much the report holds beyond them and the table."""
    answers = _answers(findings)
    left_out = [
        counted(number, noun)
        for number, noun in ((rows - _ROWS, "number"), (len(answers) - _ANSWERS, "answer"))
        if number > 0
    ]
    lines = [_Line(words=answer) for answer in answers[:_ANSWERS]]
    if left_out:
        lines.append(_Line(words=f"+ {' and '.join(left_out)} in the report", colour=GRAY))
    return lines


def _answers(findings: Findings) -> list[str]:
    return [
        f"{category.concept.meaning}: {category.value.meaning}"
        + (f" (confidence {category.confidence:.2f})" if category.confidence is not None else "")
        for category in findings.categories
    ]


def _warnings(findings: Findings, width: int) -> list[_Line]:
    """Return as many warnings as there is room for, and how many more there are."""
    lines: list[str] = []
    told = 0
    for warning in findings.warnings:
        more = wrapped(f"! {warning}", width)
        if len(lines) + len(more) > _WARNING_LINES:
            break
        lines += more
        told += 1
    if told < len(findings.warnings):
        left = findings.warnings[told]
        rest = len(findings.warnings) - told - 1
        ending = f" (+{rest} in the report)" if rest else ""
        lines = [*lines[: _WARNING_LINES - 1], fitted(f"! {left}", width, ending=ending)]
    return [_Line(words=line, colour=YELLOW) for line in lines]


def _made(run: Run) -> str:
    weights = run.algorithm.weights_sha256
    return (
        f"weights {weights[:_HEX_DIGITS]}, {run.local_time():%Y-%m-%d %H:%M}"
        if weights
        else f"{run.local_time():%Y-%m-%d %H:%M}"
    )


def number(value: float) -> str:
    """Return a value with as many digits as a reader can use."""
    if value == int(value):
        return f"{value:.0f}"
    if abs(value) >= 0.1:
        return f"{value:.{0 if abs(value) >= 100 else 1}f}"
    return f"{value:.1g}"
