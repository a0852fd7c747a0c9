"""Plots of an evaluation as SVG: light, and told apart in print without colour."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.scores import FALSE_ALARMS, Decisions, Reliability, Roc
from evaluation.summary import RegionSummary, ScoreSummary

if TYPE_CHECKING:  # it takes half a second to import
    from matplotlib.axes import Axes

_INK, _SOFT, _BLUE, _ORANGE = "#1f2d3a", "#8a98a6", "#2166ac", "#d9660a"
_SQUARE = (3.7, 3.5)
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6ebef",
    "grid.linewidth": 0.7,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "svg.hashsalt": "opacity-node",  # equal numbers give equal bytes
}
_POINTS_SEED = 1


def of_score(score: ScoreSummary) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, caption and SVG of each plot about the score."""
    if score.roc is not None and score.precision_recall is not None:
        yield (
            "ROC curve",
            "Sensitivity over false alarms; band: where 95 % of curves of drawn patients run; cross: the threshold.",
            _roc(score.roc, score.decisions),
        )
        yield (
            "Precision and sensitivity",
            "Share of rightly positive images over sensitivity; dotted: calling all images positive.",
            _precision_recall(score),
        )
    yield (
        "Reliability",
        "Share of positive images in each tenth of the score, with 95 % intervals; dotted: a calibrated probability.",
        _reliability(score.reliability),
    )
    yield (
        "Scores",
        "How many images have which score; dashed: the threshold.",
        _histogram(score),
    )


def of_regions(regions: Mapping[str, RegionSummary]) -> bytes:
    """Return Dice of every image, region by region, with median and quartiles."""

    def draw(axes: "Axes") -> None:
        values = [region.values for region in regions.values()]
        places = np.arange(1, len(values) + 1)
        axes.boxplot(
            values,
            orientation="horizontal",
            positions=places,
            widths=0.5,
            showfliers=False,
            medianprops={"color": _INK, "linewidth": 1.6},
            boxprops={"color": _SOFT},
            whiskerprops={"color": _SOFT},
            capprops={"color": _SOFT},
        )
        random = np.random.default_rng(_POINTS_SEED)
        for place, of_region in zip(places, values, strict=True):
            around = place + random.uniform(-0.16, 0.16, len(of_region))
            axes.scatter(of_region, around, s=9, color=_BLUE, alpha=0.55, linewidths=0)
        axes.set_yticks(places, list(regions))
        axes.invert_yaxis()
        least = min((min(of_region, default=1.0) for of_region in values), default=0.0)
        axes.set_xlim(max(0.0, least - 0.05), 1.005)
        axes.set_xlabel("Dice")
        axes.grid(visible=False, axis="y")

    return _svg(draw, (7.6, 0.9 + 0.62 * len(regions)))


def _roc(roc: Roc, decisions: Decisions | None) -> bytes:
    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color=_SOFT, linewidth=1)
        if roc.low is not None and roc.high is not None:
            axes.fill_between(FALSE_ALARMS, roc.low, roc.high, color=_BLUE, alpha=0.16, linewidth=0)
        axes.plot(roc.curve.x, roc.curve.y, color=_BLUE, linewidth=1.7)
        place = decisions and (decisions.specificity.value, decisions.sensitivity.value)
        if place and place[0] is not None and place[1] is not None:
            axes.plot(1 - place[0], place[1], "x", color=_ORANGE, markersize=8, markeredgewidth=2)
        _unit_square(axes, "1 - specificity", "sensitivity")

    return _svg(draw, _SQUARE)


def _precision_recall(score: ScoreSummary) -> bytes:
    def draw(axes: "Axes") -> None:
        if score.precision_recall is not None:
            share = score.positive / (score.positive + score.negative)
            axes.axhline(share, linestyle=":", color=_SOFT, linewidth=1)
            axes.step(score.precision_recall.x, score.precision_recall.y, where="post", color=_BLUE, linewidth=1.7)
        _unit_square(axes, "sensitivity", "precision")

    return _svg(draw, _SQUARE)


def _reliability(reliability: Reliability) -> bytes:
    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color=_SOFT, linewidth=1)
        share = np.array([estimate.value for estimate in reliability.positive], dtype=float)
        low = np.array([estimate.low for estimate in reliability.positive], dtype=float)
        high = np.array([estimate.high for estimate in reliability.positive], dtype=float)
        ends = np.abs(np.stack([share - low, high - share]))
        axes.errorbar(
            reliability.score, share, yerr=ends, fmt="o-", color=_BLUE, markersize=4, linewidth=1.2, elinewidth=0.9
        )
        for x, y, estimate in zip(reliability.score, share, reliability.positive, strict=True):
            axes.annotate(str(estimate.images), (x, y), (4, -9), textcoords="offset points", fontsize=7, color=_SOFT)
        _unit_square(axes, "mean score", "share of positive images")
        axes.set_ylim(-0.07, 1.04)  # room for the numbers of images

    return _svg(draw, _SQUARE)


def _histogram(score: ScoreSummary) -> bytes:
    def draw(axes: "Axes") -> None:
        edges = np.linspace(0, 1, 21).tolist()
        negative, positive = _of_kind(score, 0), _of_kind(score, 1)
        axes.hist(negative, edges, color=_BLUE, alpha=0.35, label=f"without ({len(negative)})")
        axes.hist(positive, edges, histtype="step", color=_ORANGE, linewidth=1.6, label=f"with ({len(positive)})")
        if score.decisions is not None:
            axes.axvline(score.decisions.threshold, linestyle="--", color=_INK, linewidth=1)
        axes.set_xlabel("score")
        axes.set_ylabel("images")
        axes.set_xlim(0, 1)
        axes.set_ylim(top=1.25 * axes.get_ylim()[1])  # room for the legend
        axes.legend(loc="upper center", fontsize=8, ncols=2)

    return _svg(draw, _SQUARE)


def _of_kind(score: ScoreSummary, kind: int) -> Sequence[float]:
    return [value for label, value in zip(score.labels, score.scores, strict=True) if label == kind]


def _unit_square(axes: "Axes", x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")


def _svg(draw: Callable[["Axes"], None], size: tuple[float, float]) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
