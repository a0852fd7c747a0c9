"""report.html: the evaluation for people, one file that needs nothing beside itself."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from evaluation import plots
from evaluation.amounts import NEAR
from evaluation.intervals import Estimate
from evaluation.pictures import FOUND_COLOUR, TRUTH_COLOUR
from evaluation.record import Ending, Record
from evaluation.rows import Row, State
from evaluation.summary import Summary

_MOST_REASONS = 200
"""Images that are named with their reason; evaluation.json names all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """A headline number."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """An image that the pipeline was wrong about."""

    name: str
    said: str
    picture: str


def report(record: Record, worst: Sequence[Row], picture_of: Callable[[str], Path]) -> str:
    """Return the page.

    Parameters
    ----------
    record : Record
        The evaluation.
    worst : sequence of Row
        Images to be shown, with the names of their pictures.
    picture_of : callable
        Name of a picture -> its file.
    """
    loader = PackageLoader("evaluation", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": _number, "interval": _interval, "percent": _percent, "percents": _percents}
    summary = record.summary
    return environment.get_template("report.html").render(
        record=record,
        summary=summary,
        settings=record.settings,
        is_complete=record.ending is Ending.COMPLETE,
        tiles=list(headlines(summary)),
        score_plots=[] if summary.score is None else [(a, b, _svg(c)) for a, b, c in plots.of_score(summary.score)],
        region_plot=_svg(plots.of_regions(summary.regions)) if any(r.values for r in summary.regions.values()) else "",
        cases=[_case(row, picture_of(row.picture).read_bytes()) for row in worst],
        others=[row for row in record.rows if row.state is not State.JUDGED][:_MOST_REASONS],
        more=max(0, sum(row.state is not State.JUDGED for row in record.rows) - _MOST_REASONS),
        near=NEAR,
        judged=summary.counts[State.JUDGED.value],
        colours={"truth": TRUTH_COLOUR, "found": FOUND_COLOUR},
    )


def headlines(summary: Summary) -> Iterator[Tile]:
    """Yield the numbers to read first."""
    score = summary.score
    if score is not None and score.roc is not None:
        yield Tile(title="AUC", value=_number(score.roc.area.value), note=_interval(score.roc.area))
    if score is not None and score.decisions is not None:
        for title, share in (
            ("Sensitivity", score.decisions.sensitivity),
            ("Specificity", score.decisions.specificity),
        ):
            yield Tile(title=title, value=_percent(share.value), note=_percents(share))
    for name, region in summary.regions.items():
        yield Tile(title=f"Dice, {name}", value=_number(region.dice.value), note=_interval(region.dice))
    if summary.map_loss is not None:
        loss = summary.map_loss
        yield Tile(title="Weighted log loss", value=_number(loss.value), note=_interval(loss))
    for precision in summary.box_precision[:2]:
        yield Tile(title=f"Box AP at IoU {precision.iou:g}", value=_number(precision.mean))
    yield from _numbers(summary)


def _numbers(summary: Summary) -> Iterator[Tile]:
    """Yield what says how near a level or a share is."""
    if summary.levels is not None:
        exact = summary.levels.exact
        yield Tile(title="Exact level", value=_percent(exact.value), note=_percents(exact))
    if summary.amounts is not None:
        error = summary.amounts.error
        yield Tile(title="Share, mean error", value=_percent(error.value), note=_percents(error))


def _case(row: Row, picture: bytes) -> Case:
    said = [f"Dice {name}: {_number(overlap.dice)}" for name, overlap in row.regions.items()]
    if row.map_loss is not None:
        said.append(f"weighted log loss {_number(row.map_loss)}")
    if row.score is not None:
        said.append(f"score {_number(row.score)}" + ("" if row.label is None else f", truth {row.label}"))
    if row.level is not None:
        said.append(f"level {row.found_level}, truth {row.level}")
    encoded = base64.b64encode(picture).decode()
    return Case(name=Path(row.path).name, said=" · ".join(said), picture=f"data:image/png;base64,{encoded}")


def _svg(drawing: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode()}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(estimate: Estimate, shown: Callable[[float | None], str] = _number) -> str:
    """Return the interval in words, or why there is none."""
    if estimate.low is None:
        return estimate.note
    return f"{shown(estimate.low)} to {shown(estimate.high)}"


def _percents(estimate: Estimate) -> str:
    return _interval(estimate, _percent)
