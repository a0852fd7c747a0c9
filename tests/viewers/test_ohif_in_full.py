"""Every other kind of result in OHIF, and what is wrong on purpose: only `make viewers` looks at these."""

import pytest

from dicom_out.context import ResultKind
from tests.viewers import looks, planted
from tests.viewers.browser import Opened
from tests.viewers.gallery import Gallery
from tests.viewers.studies import NOT_RUN, STUDIES, WRONG

pytestmark = pytest.mark.timeout(300)
SLICES = 5


def test_the_opacity_on_ct_is_drawn_on_its_mask(ohif: Gallery):
    exhibit = ohif.exhibits["ct"]
    opacity = exhibit.of(ResultKind.SEG)[1]
    with ohif.shown("ct", opacity, Opened.SEGMENTATION) as viewer:
        covered = looks.segmentation(viewer, exhibit, opacity, slices=SLICES)
        ohif.note(viewer, "ct", "opacity", covered)
        assert min(covered.values()) > 0.95


@pytest.mark.parametrize("name", ["ct", "cxr"])
def test_a_map_colours_what_it_marks(ohif: Gallery, name: str):
    exhibit = ohif.exhibits[name]
    with ohif.shown(name, exhibit.of(ResultKind.MAP)[0], Opened.OVERLAY) as viewer:
        covered = looks.heatmap(viewer, exhibit, slices=SLICES)
        ohif.note(viewer, name, "map", covered)
        assert min(covered.values()) > 0.9
        assert viewer.errors == []


@pytest.mark.parametrize(
    ("name", "segmentation"),
    [(name, 0) for name in planted.WITH_REGIONS] + [(planted.ENSEMBLE, 1), (planted.EXPLAIN, 1)],
)
def test_regions_of_planted_weights_are_drawn_on_their_masks(ohif: Gallery, name: str, segmentation: int):
    exhibit = ohif.exhibits[name]
    dataset = exhibit.of(ResultKind.SEG)[segmentation]
    with ohif.shown(name, dataset, Opened.SEGMENTATION) as viewer:
        covered = looks.segmentation(viewer, exhibit, dataset, slices=SLICES)
        ohif.note(viewer, name, f"segmentation {segmentation + 1}", covered)
        assert min(covered.values()) > 0.95
        assert viewer.errors == []


@pytest.mark.parametrize(
    ("name", "number"),
    [(planted.SEVERITY, 0), (planted.SEVERITY, 1), (planted.ENSEMBLE, 0), (planted.EXPLAIN, 0)],
)
def test_a_map_of_planted_weights_colours_what_it_marks(ohif: Gallery, name: str, number: int):
    exhibit = ohif.exhibits[name]
    with ohif.shown(name, exhibit.of(ResultKind.MAP)[number], Opened.OVERLAY) as viewer:
        covered = looks.heatmap(viewer, exhibit, slices=SLICES, number=number)
        ohif.note(viewer, name, exhibit.findings.heatmaps[number].label, covered)
        assert min(covered.values()) > 0.8  # attention of random networks is near the limit of warm colours everywhere
        assert viewer.errors == []


@pytest.mark.parametrize("name", ["cxr-imager-spacing", "cxr-no-spacing"])
def test_a_map_of_a_radiograph_without_pixel_spacing_is_a_grey_picture_of_its_own(ohif: Gallery, name: str):
    exhibit = ohif.exhibits[name]
    (word_map,) = exhibit.of(ResultKind.MAP)
    with ohif.shown(name, word_map, Opened.PICTURE) as viewer:
        like = looks.picture(viewer, word_map.pixel_array)
        ohif.note(viewer, name, "map", {"likeness": like})
        assert like > 0.95


@pytest.mark.parametrize("name", [*STUDIES, *planted.PIPELINES])
def test_a_key_image_is_shown_as_it_is(ohif: Gallery, name: str):
    for number, key_image in enumerate(ohif.exhibits[name].of(ResultKind.KEY_IMAGE), start=1):
        with ohif.shown(name, key_image, Opened.PICTURE) as viewer:
            like = looks.picture(viewer, key_image.pixel_array)
            ohif.note(viewer, name, f"key image {number}", {"likeness": like})
            assert like > 0.9


def test_a_coarse_map_is_listed_and_not_drawn_in_its_place(ohif: Gallery):
    exhibit = ohif.exhibits["ct"]
    with ohif.shown("ct", exhibit.of(ResultKind.COARSE_MAP)[0], Opened.OVERLAY) as viewer:
        covered = looks.heatmap(viewer, exhibit, slices=SLICES)
        ohif.note(viewer, "ct", "coarse map", covered)
        assert min(covered.values()) < 0.5


def test_a_notice_is_listed_and_leaves_the_images_to_see(ohif: Gallery):
    exhibit = ohif.exhibits[NOT_RUN]
    (notice,) = exhibit.of(ResultKind.NOTICE)
    with ohif.study(NOT_RUN) as viewer:
        assert (notice.SeriesDescription, notice.SeriesNumber) in {
            (entry.description, entry.series_number) for entry in viewer.entries()
        }
        ohif.note(viewer, NOT_RUN, "images beside a notice", {"likeness": looks.source(viewer, exhibit)})
        viewer.try_to_open(int(notice.SeriesNumber))
        ohif.note(viewer, NOT_RUN, "notice", {})
        viewer.open(int(exhibit.source.headers[0].SeriesNumber), Opened.SOURCE)
        assert looks.source(viewer, exhibit) > 0.9


def test_lungs_20_pixels_off_are_noticed(ohif: Gallery):
    exhibit = ohif.exhibits[WRONG]
    lungs = exhibit.of(ResultKind.SEG)[0]
    with ohif.shown(WRONG, lungs, Opened.SEGMENTATION) as viewer:
        covered = looks.segmentation(viewer, exhibit, lungs, slices=2)
        ohif.note(viewer, WRONG, "lungs 20 pixels off", covered)
        assert max(covered.values()) < 0.8


def test_a_report_20_pixels_off_is_noticed(ohif: Gallery):
    exhibit = ohif.exhibits[WRONG]
    with ohif.shown(WRONG, exhibit.of(ResultKind.SR)[0], Opened.REPORT) as viewer:
        followed = looks.report(viewer, exhibit)
        ohif.note(viewer, WRONG, "report 20 pixels off", followed)
        assert max(followed.values()) < 0.8


def test_a_map_mirrored_in_z_is_noticed(ohif: Gallery):
    exhibit = ohif.exhibits[WRONG]
    with ohif.shown(WRONG, exhibit.of(ResultKind.MAP)[0], Opened.OVERLAY) as viewer:
        covered = looks.heatmap(viewer, exhibit, slices=SLICES)
        ohif.note(viewer, WRONG, "map mirrored in z", covered)
        assert min(covered.values()) < 0.5
