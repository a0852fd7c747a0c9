"""What the cascade decided on a radiograph -> findings on its stored pixels, and in words why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.codes import SCHEME
from inference.coding import Code
from inference.findings import Category, Heatmap, Measurement
from inference.opacity_explain.decisions import Branch, Explained, Lung, Score, Side
from inference.opacity_explain.options import Options
from inference.radiograph import Radiograph
from inference.xray_opacity import PROBABILITY, SITES, THRESHOLD, OpacityRegions, decision, opacity_map, percent

MAP_LABEL = "opacity explanation"
_MAP = Code("OPACEXPLAIN", SCHEME, "Probability of opacity, over-estimated")
_EXTENT_THRESHOLD = Code("OPACEXTTHRESHOLD", SCHEME, "Opacity extent, threshold")
_EXTENTS: Mapping[Side, Code] = {
    Side.RIGHT: Code("OPACEXTR", SCHEME, "Opacity extent, right lung"),
    Side.LEFT: Code("OPACEXTL", SCHEME, "Opacity extent, left lung"),
}
_BRANCHES: Mapping[Side, Code] = {
    Side.RIGHT: Code("OPACBRANCHR", SCHEME, "Right lung"),
    Side.LEFT: Code("OPACBRANCHL", SCHEME, "Left lung"),
}
_TAKEN: Mapping[Branch, Code] = {
    Branch.NONE: Code("BRANCHNONE", SCHEME, "Nothing marked"),
    Branch.WHOLE: Code("BRANCHWHOLE", SCHEME, "Whole lung marked"),
    Branch.MAPPED: Code("BRANCHMAPPED", SCHEME, "Mapped place by place"),
    Branch.NOT_FOUND: Code("BRANCHNOLUNG", SCHEME, "Lung not found"),
}
_NETWORKS = {"EfficientNet-B4": "B4", "ConvNeXt-tiny": "CONVNEXT"}
"""Ends of codes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readout:
    """What is said of one radiograph; arrays lie on the upright image until they are said.

    Attributes
    ----------
    radiograph : Radiograph
        The source.
    explained : Explained
        What was decided.
    options : Options
        By which thresholds.
    """

    radiograph: Radiograph
    explained: Explained
    options: Options

    def measurements(self) -> tuple[Measurement, ...]:
        """Return the probability and the extents, then thresholds and what each network says."""
        opacity = self.explained.opacity
        extents = [(lung, lung.extent) for lung in self.explained.lungs if lung.extent]
        return (
            percent(PROBABILITY, opacity.mean),
            *(percent(_EXTENTS[lung.side], extent.mean, SITES[lung.side]) for lung, extent in extents),
            percent(THRESHOLD, opacity.threshold),
            *(percent(_EXTENT_THRESHOLD, extent.threshold) for _, extent in extents[:1]),
            *_by_network(PROBABILITY, opacity),
            *(number for lung, extent in extents for number in _by_network(_EXTENTS[lung.side], extent, lung.side)),
        )

    @property
    def headlines(self) -> int:
        """How many of them are the result itself."""
        return 1 + sum(lung.extent is not None for lung in self.explained.lungs)

    def categories(self) -> tuple[Category, ...]:
        """Return the decision, and the branch that each lung took."""
        return (
            decision(is_positive=self.explained.opacity.is_reached),
            *(Category(concept=_BRANCHES[lung.side], value=_TAKEN[lung.branch]) for lung in self.explained.lungs),
        )

    def regions(self) -> OpacityRegions:
        """Return opacity as it was before it was over-estimated, by side, and both lungs."""
        marked = np.stack([lung.marked for lung in self.explained.lungs])
        return OpacityRegions(
            radiograph=self.radiograph,
            opacity=marked[0] | marked[1],
            sides=marked,
            lungs=np.stack([lung.mask for lung in self.explained.lungs]),
        )

    def heatmap(self) -> Heatmap:
        """Return the map, on the image's own pixels."""
        return opacity_map(MAP_LABEL, _MAP, self.explained.values, self.radiograph)

    def decisions(self) -> dict[str, str]:
        """Return each decision with its scores and its threshold, for `Algorithm.decisions`."""
        opacity, reached = self.explained.opacity, self.explained.opacity.is_reached
        said = {"decision_opacity": f"{_compared(opacity)}: {'probable' if reached else 'not probable'}"}
        for lung in self.explained.lungs:
            by = f"{_compared(lung.extent)}: " if lung.extent else ""
            said[f"decision_{lung.side}_lung"] = f"{by}{lung.branch}"
        extent = self.explained.mean_extent
        if extent is not None:
            bound = self.options.over_estimation_from
            sign = ">=" if extent >= bound else "<"
            said["decision_over_estimation"] = (
                f"mean extent {extent:.4f} {sign} {bound:g}: {self.explained.reach:g} of the image's longer side"
            )
        return said


def warnings(readout: Readout, doubts: Sequence[str]) -> Iterator[str]:
    """Yield why the map is as it is, and what a reader must know of it, the gravest first.

    Parameters
    ----------
    readout : Readout
        What is said.
    doubts : sequence of str
        What speaks against a frontal image.
    """
    explained = readout.explained
    yield _verdict(explained.opacity)
    if doubts:
        yield f"Hardly a frontal chest image, says lung-fields: {'; '.join(doubts)}."
    yield from map(_of_lung, explained.lungs) if explained.opacity.is_reached else _missing(explained.lungs)
    if explained.mean_extent is None:
        yield "The map's values, 10/255 in the lungs and 1/255 elsewhere, mark nothing."
    else:
        yield (
            f"The map is dilated by {_percent(explained.reach)} of the longer side (mean extent "
            f"{_percent(explained.mean_extent)}), outlines are not."
        )


def _verdict(opacity: Score) -> str:
    by = f"uncalibrated score {_against(opacity, 'the threshold of ')}"
    return (
        f"Opacity is probable: {by}." if opacity.is_reached else f"No opacity is probable: {by}. It excludes nothing."
    )


def _of_lung(lung: Lung) -> str:
    if lung.extent is None:
        return f"No {lung.side} lung was found: opacity in it is neither judged nor marked."
    by = f"{lung.side.capitalize()} lung: extent {_against(lung.extent)}"
    if lung.branch is Branch.WHOLE:
        return f"{by}: all of it is marked."
    return f"{by}: mapped place by place{'' if lung.marked.any() else ', none reached one half'}."


def _missing(lungs: Sequence[Lung]) -> Iterator[str]:
    return (f"No {lung.side} lung was found." for lung in lungs if lung.branch is Branch.NOT_FOUND)


def _against(score: Score, bound: str = "") -> str:
    where = "at or above" if score.is_reached else "below"
    return f"{_percent(score.mean)}, {where} {bound}{_percent(score.threshold)}"


def _compared(score: Score) -> str:
    each = ", ".join(f"{name} {value:.4f}" for name, value in score.each.items())
    return f"{each}, mean {score.mean:.4f} {'>=' if score.is_reached else '<'} {score.threshold:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def _by_network(concept: Code, score: Score, side: Side | None = None) -> Iterator[Measurement]:
    site = SITES[side] if side else None
    for name, value in score.each.items():
        code = Code(f"{concept.value}{_NETWORKS[name]}", SCHEME, f"{concept.meaning}, {name}")
        yield percent(code, value, site)
