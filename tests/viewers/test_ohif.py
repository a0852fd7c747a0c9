"""Results as a person sees them: OHIF on Orthanc, in a real browser, the picture held to the masks."""

import numpy as np
import pytest
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from dicom_out.context import ResultKind
from tests.viewers import pixels
from tests.viewers.browser import Opened, Viewer
from tests.viewers.exhibits import Exhibit
from tests.viewers.gallery import Gallery
from tests.viewers.pixels import Mask

EXHIBITS = ("ct", "cxr")
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_object_is_listed_and_the_lungs_are_drawn_on_their_masks(ohif: Gallery, name: str):
    exhibit = ohif.exhibits[name]
    lungs = exhibit.of(ResultKind.SEG)[0]
    with ohif.study(name) as viewer:
        listed = {(entry.modality, entry.description, entry.series_number) for entry in viewer.entries()}
        assert listed >= {
            (o.dataset.Modality, o.dataset.SeriesDescription, o.dataset.SeriesNumber) for o in exhibit.objects
        }
        viewer.open(int(lungs.SeriesNumber), Opened.SEGMENTATION)
        assert_on_their_masks(viewer, exhibit, lungs)
        assert viewer.errors == []


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_report_is_drawn_on_the_borders_of_its_regions_with_their_numbers(ohif: Gallery, name: str):
    exhibit = ohif.exhibits[name]
    with ohif.shown(name, exhibit.of(ResultKind.SR)[0], Opened.REPORT) as viewer:
        for region in exhibit.findings.regions:
            plane = int(np.count_nonzero(region.mask, axis=(1, 2)).argmax())
            viewer.jump_to(exhibit.source.sop_instance_uids[plane])
            view = viewer.view(exhibit.corners, exhibit.size)
            points = view.placement.place(pixels.border(region.mask[plane]))
            drawn = pixels.coloured(view.picture)
            assert pixels.share_near(drawn, points, tolerance=view.placement.scale + 2) > 0.97, region.label
            headline = region.measurements[0]
            value = float(f"{headline.value:.6g}")  # as Numeric Value has it, a string of 16 characters
            number = f"{headline.concept.meaning}: {value:.2f} {headline.unit.value}"
            assert any(number in label for label in viewer.labels()), region.label
        assert viewer.errors == []


def assert_on_their_masks(viewer: Viewer, exhibit: Exhibit, segmentation: Dataset) -> None:
    """Look at some slices on which there is something to see, and hold each colour to its region's mask."""
    labelled = {region.label: region for region in exhibit.findings.regions}
    segments = [
        (labelled[item.SegmentLabel], CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb())
        for item in segmentation.SegmentSequence
    ]
    for plane in some_planes(np.any([region.mask for region, _ in segments], axis=0)):
        viewer.jump_to(exhibit.source.sop_instance_uids[plane])
        view = viewer.view(exhibit.corners, exhibit.size)
        assert pixels.likeness(view.picture, view.expected(exhibit.displayed(plane)), view.within) > 0.9
        for region, rgb in segments:
            drawn = pixels.of_hue(view.picture, rgb) & view.within
            assert pixels.dice(drawn, view.expected(region.mask[plane])) > 0.97, (region.label, plane)


def some_planes(mask: Mask) -> list[int]:
    """Return a lower and an upper of the slices that a mask is on."""
    marked = np.flatnonzero(mask.any(axis=(1, 2)))
    return sorted(set(np.quantile(marked, (0.25, 0.75), method="nearest").tolist()))
