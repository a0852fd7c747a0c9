"""The words below the pictures of a key image: what was found, the numbers as a table, what ran, and its warnings."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from dicom_out import drawing
from dicom_out.colours import RGB
from dicom_out.context import Run
from dicom_out.drawing import GRAY, LARGE, MEDIUM, WHITE, YELLOW, fitted, text, width_of, wrapped
from dicom_out.marks import Mark
from dicom_out.plain import plain
from dicom_out.product import RESEARCH_NOTICE
from inference.coding import Code
from inference.findings import Category, Findings, Measurement, Purpose
from inference.wording import counted, unit_shown

_MARGIN = 16
_LINE, _ROW = 29, 27
_COLUMNS, _GAP, _SWATCH = 4, 18, 26
_LONGEST_TITLE = 150
_ROWS = 6
_ANSWER_LINES = 2
_WARNING_LINES = 4
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What there was room to say in full, and how many more only the report says."""

    lines: list[_Line]
    left: int


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
    room = width - 2 * _MARGIN
    answers, warnings = _answers(findings, room), _warnings(findings, room)
    after = [*warnings.lines, *_left_out(numbers=len(rows) - _ROWS, answers=answers.left, warnings=warnings.left)]
    table_height = _ROW * (1 + min(len(rows), _ROWS)) + _LINE * bool(others)
    top = _LINE * (1 + len(answers.lines)) + 12
    picture = Image.new("RGB", (width, top + table_height + _LINE * (len(after) + 1) + 10), drawing.BLACK)
    draw = ImageDraw.Draw(picture)
    text(draw, (_MARGIN, _LINE), fitted(_statement(findings, marks, where), room, LARGE), LARGE)
    _draw_lines(draw, _LINE + 3, answers.lines)
    first = _draw_table(draw, top, width, columns, rows[:_ROWS])
    model = fitted(run.algorithm.name, first - _MARGIN, ending=f" {run.algorithm.version}")
    text(draw, (_MARGIN, top + _ROW - 7), model, colour=GRAY)
    _draw_key(draw, top + table_height - 6, width, others)
    _draw_lines(draw, top + table_height - 6, after)
    base = picture.height - 12
    text(draw, (_MARGIN, base), RESEARCH_NOTICE, MEDIUM, YELLOW)
    text(draw, (width - _MARGIN, base), _made(run), colour=GRAY, anchor="rs")
    return picture


def _statement(findings: Findings, marks: Sequence[Mark], where: str) -> str:
    """Say whether opacity was found: silence could be read as its absence."""
    if findings.boxes is not None:
        return f"{counted(len(findings.boxes), 'box', 'boxes')} drawn" if findings.boxes else "No box drawn"
    opacities = [mark for mark in marks if mark.region.purpose == Purpose.OPACITY]
    if opacities:
        return "No opacity marked" if all(mark.is_empty for mark in opacities) else f"Opacity marked{where}"
    is_judged = findings.categories or any(heatmap.purpose == Purpose.OPACITY for heatmap in findings.heatmaps)
    if is_judged:
        return "Lungs outlined; opacity, if any, was not" if marks else "Opacity, if any, was not outlined"
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
    sites = {measurement.site for measurement in findings.measurements}
    site = sites.pop() if len(sites) == 1 else None
    if site is None:
        return "in all"
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


def _draw_lines(draw: ImageDraw.ImageDraw, above: int, lines: Sequence[_Line]) -> None:
    for index, line in enumerate(lines, start=1):
        text(draw, (_MARGIN, above + _LINE * index), line.words, colour=line.colour)


def _answers(findings: Findings, width: int) -> _Told:
    """Return coded answers, several on a line."""
    answers = [plain(_answer(category)) for category in findings.categories]
    lines: list[str] = []
    told = 0
    for answer in answers:
        if lines and width_of(f"{lines[-1]}; {answer}") <= width:
            lines[-1] += f"; {answer}"
        elif len(lines) < _ANSWER_LINES:
            lines.append(fitted(answer, width))
        else:
            break
        told += 1
    return _Told(lines=[_Line(words=line) for line in lines], left=len(answers) - told)


def _answer(category: Category) -> str:
    confidence = "" if category.confidence is None else f" (confidence {category.confidence:.2f})"
    return f"{category.concept.meaning}: {category.value.meaning}{confidence}"


def _warnings(findings: Findings, width: int) -> _Told:
    """Return the first warnings, each in full; only a first one that is too long for all lines is cut."""
    lines: list[str] = []
    told = 0
    for warning in findings.warnings:
        more = wrapped(f"! {warning}", width)
        if len(lines) + len(more) > _WARNING_LINES:
            break
        lines += more
        told += 1
    if findings.warnings and not told:
        first = wrapped(f"! {findings.warnings[0]}", width)
        lines = [*first[: _WARNING_LINES - 1], fitted(" ".join(first[_WARNING_LINES - 1 :]), width)]
    return _Told(lines=[_Line(words=line, colour=YELLOW) for line in lines], left=len(findings.warnings) - told)


def _left_out(**left: int) -> list[_Line]:
    """Return a line that says how much more the report holds, by what it is; none where all is told."""
    counts = [counted(number, noun.removesuffix("s")) for noun, number in left.items() if number > 0]
    if not counts:
        return []
    *others, last = counts
    words = f"{', '.join(others)} and {last}" if others else last
    return [_Line(words=f"+ {words} in the report", colour=YELLOW if left["warnings"] > 0 else GRAY)]


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
