"""A look at each kind of object: how much of what is to be seen is in its place, from 0 to 1.

Each opens nothing: the object is open in the viewer, and the exhibit says where its parts should be.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_out.codes import CERTAINTY_OF_FINDING
from dicom_out.resampling import resampled
from inference.findings import Measurement, Region
from tests.viewers import pixels
from tests.viewers.browser import View, Viewer
from tests.viewers.exhibits import Exhibit
from tests.viewers.pixels import Mask

_MIN_LIKENESS, _MIN_LIKENESS_UNDER_COLOURS = 0.9, 0.8
COLOUR_FROM, WARM_FROM = 0.085, 0.71
"""Of a map's range: where OHIF's colours begin to be seen, and where they begin to be warm."""


def segmentation(viewer: Viewer, exhibit: Exhibit, dataset: Dataset, *, slices: int) -> dict[str, float]:
    """Return how far each segment's colour covers its mask, and only that: the worst of some slices."""
    labelled = {region.label: region for region in exhibit.findings.regions}
    colours = {
        item.SegmentLabel: CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb()
        for item in dataset.SegmentSequence
    }
    worst = dict.fromkeys(colours, 1.0)
    for plane in some_of(np.any([labelled[label].mask for label in colours], axis=0), slices):
        view = _turn_to(viewer, exhibit, plane)
        for label, rgb in colours.items():
            drawn = pixels.of_hue(view.picture, rgb) & view.within
            worst[label] = min(
                worst[label], pixels.dice(drawn, view.expected(labelled[label].mask[plane]) & view.within)
            )
    return worst


def report(viewer: Viewer, exhibit: Exhibit) -> dict[str, float]:
    """Return how much of the border of each region has a line along it, on the slice that shows most of it."""
    followed = {}
    for region in _marked(exhibit.findings.regions):
        plane = int(np.count_nonzero(region.mask, axis=(1, 2)).argmax())
        view = _turn_to(viewer, exhibit, plane)
        border = view.placement.place(pixels.border(region.mask[plane]))
        drawn = pixels.coloured(view.picture)
        followed[region.label] = pixels.share_near(drawn, border, tolerance=view.placement.scale + 2)
        said = written(region.measurements[0])
        assert any(said in label for label in viewer.labels()), (said, viewer.labels())
    return followed | _boxes(viewer, exhibit)


def _boxes(viewer: Viewer, exhibit: Exhibit) -> dict[str, float]:
    """Return how much of the edges of each box has a line along it."""
    followed = {}
    for box in exhibit.findings.boxes or ():
        view = _turn_to(viewer, exhibit, 0)
        within = np.zeros(exhibit.size, dtype=bool)
        within[round(box.top) : round(box.bottom), round(box.left) : round(box.right)] = True
        border = view.placement.place(pixels.border(within))
        drawn = pixels.coloured(view.picture)
        followed[box.label] = pixels.share_near(drawn, border, tolerance=view.placement.scale + 2)
        said = f"{CERTAINTY_OF_FINDING.meaning}: {100 * box.certainty:.2f} %"
        assert any(said in label for label in viewer.labels()), (said, viewer.labels())
    return followed


def headlines(viewer: Viewer, exhibit: Exhibit) -> None:
    """Check that what is said first of the whole series or image is listed on the slice that shows most, with units."""
    findings = exhibit.findings
    areas = [np.count_nonzero(region.mask, axis=(1, 2)) for region in _marked(findings.regions)]
    _turn_to(viewer, exhibit, int(np.sum(areas, axis=0).argmax()) if areas else 0)
    for measurement in findings.measurements[: findings.headlines]:
        said = written(measurement)
        assert any(said in label for label in viewer.labels()), (said, viewer.labels())


def heatmap(viewer: Viewer, exhibit: Exhibit, *, slices: int, number: int = 0) -> dict[str, float]:
    """Return how far colours cover what a map marks, and warm ones its high values: the worst of some slices."""
    shown, source = exhibit.findings.heatmaps[number], exhibit.source
    low, high = shown.value_range
    values = np.stack(list(resampled(shown, source.geometry, source.pixel_array.shape)))
    share = (values - low) / (high - low)
    worst = {"extent": 1.0, "high values": 1.0}
    for plane in some_of(share >= WARM_FROM, slices):
        view = _turn_to(viewer, exhibit, plane)
        expected = np.where(view.within, view.expected(share[plane]), 0)
        for part, drawn, threshold in (
            ("extent", pixels.coloured(view.picture), COLOUR_FROM),
            ("high values", pixels.warm(view.picture), WARM_FROM),
        ):
            worst[part] = min(worst[part], pixels.dice(drawn & view.within, expected >= threshold))
    return worst


def source(viewer: Viewer, exhibit: Exhibit) -> float:
    """Return how like one of the source images the viewport is."""
    view = viewer.view(exhibit.corners, exhibit.size)
    plane = exhibit.source.sop_instance_uids.index(view.sop_instance_uid)
    return pixels.likeness(view.picture, view.expected(exhibit.displayed(plane)), view.within)


def picture(viewer: Viewer, image: NDArray[np.generic]) -> float:
    """Return how like a picture the viewport is that shows it alone."""
    rows, columns = image.shape[:2]
    view = viewer.view([(0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0)], (rows, columns))
    return pixels.likeness(view.picture, view.expected(image), view.within)


def some_of(mask: Mask, slices: int) -> list[int]:
    """Return some of the slices that a mask is on, evenly, not the outermost; the middle last."""
    marked = np.flatnonzero(mask.any(axis=(1, 2)))
    shares = (np.arange(slices) + 0.5) / slices
    chosen = set(np.quantile(marked, shares, method="nearest").tolist())
    return sorted(chosen, key=lambda plane: -abs(plane - marked.mean()))


def written(measurement: Measurement) -> str:
    """Return a number as OHIF writes it: two digits of Numeric Value, which has six significant ones; nothing for 0."""
    value = f"{float(f'{measurement.value:.6g}'):.2f}" if measurement.value else ""
    return f"{measurement.concept.meaning}: {value} {measurement.unit.value}"


def _turn_to(viewer: Viewer, exhibit: Exhibit, plane: int) -> View:
    viewer.jump_to(exhibit.source.sop_instance_uids[plane])
    viewer.wait_for_colour()
    view = viewer.view(exhibit.corners, exhibit.size)
    bare = view.within & ~pixels.coloured(view.picture)
    # Networks of random weights may attend to everything: then the image is looked for under the colours.
    is_bare = not exhibit.is_planted or bare.sum() > view.within.sum() / 2
    like = pixels.likeness(view.picture, view.expected(exhibit.displayed(plane)), bare if is_bare else view.within)
    least = _MIN_LIKENESS if is_bare else _MIN_LIKENESS_UNDER_COLOURS
    assert like > least, f"the image itself is not where it is thought to be: {like}"
    return view


def _marked(regions: Sequence[Region]) -> Iterable[Region]:
    return (region for region in regions if region.mask.any())
