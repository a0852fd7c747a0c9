"""Results as a person sees them: OHIF on Orthanc, in a real browser, the picture held to the masks."""

import pytest

from dicom_out.context import ResultKind
from tests.viewers import looks
from tests.viewers.browser import Opened
from tests.viewers.gallery import Gallery
from tests.viewers.studies import FULL, PLANTED, STUDIES

pytestmark = pytest.mark.timeout(300)
SLICES = 5 if FULL else 1


@pytest.mark.parametrize("name", STUDIES)
def test_every_object_is_listed_and_the_lungs_are_drawn_on_their_masks(ohif: Gallery, name: str):
    exhibit = ohif.exhibits[name]
    lungs = exhibit.of(ResultKind.SEG)[0]
    with ohif.study(name) as viewer:
        listed = {(entry.description, entry.series_number) for entry in viewer.entries()}
        assert listed >= {(item.dataset.SeriesDescription, item.dataset.SeriesNumber) for item in exhibit.objects}
        viewer.open(int(lungs.SeriesNumber), Opened.SEGMENTATION)
        covered = looks.segmentation(viewer, exhibit, lungs, slices=SLICES)
        ohif.note(viewer, name, "lungs", covered)
        assert min(covered.values()) > 0.97
        assert viewer.errors == []


@pytest.mark.parametrize("name", [*STUDIES, *PLANTED])
def test_a_report_is_drawn_along_the_borders_of_its_regions_with_their_numbers(ohif: Gallery, name: str):
    exhibit = ohif.exhibits[name]
    with ohif.shown(name, exhibit.of(ResultKind.SR)[0], Opened.REPORT) as viewer:
        followed = looks.report(viewer, exhibit)
        ohif.note(viewer, name, "report", followed)
        looks.headlines(viewer, exhibit)
        assert min(followed.values()) > 0.97
        assert viewer.errors == []
