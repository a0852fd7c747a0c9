"""Opacity, map and lungs lie on the stored pixels of any image, however it is stored.

The networks are made by hand and see bright places; all that is done before and after them is what runs on patients.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from inference import frontal_lungs as module
from inference import radiograph, registry
from inference.frontal import FrontalCheck
from inference.frontal_lungs import FrontalLungs
from tests.narrow_explain import FIELDS, PIPELINE, RADII
from tests.planted_xrays import ORIENTATIONS, Planted, centre, extent, planted

_GRID = 256
"""Rows and columns of the coarsest map."""


@pytest.fixture(scope="module")
def find(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "xray.dcm"
    pipeline = registry.load(PIPELINE, weights=weights, settings={"threshold": 0.0})

    def run(image: Planted):
        source = radiograph.load(image.write(path))
        assert pipeline.accepts(source) is None
        return source, pipeline(source, "cpu")

    # Whether an image is a frontal one is asked elsewhere, and takes most of the time here.
    nothing = FrontalLungs(probabilities=None, masks=None, check=FrontalCheck())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "frontal_lungs", lambda *_: nothing)
        yield run


def lungs(image: Planted) -> np.ndarray:
    """Where right and left lung are drawn, as the pixels are stored."""
    y, x = [(np.arange(length) + 0.5) / length for length in image.shape]
    masks = [((y[:, None] - row) / RADII[0]) ** 2 + ((x[None] - column) / RADII[1]) ** 2 <= 1 for row, column in FIELDS]
    return np.stack([ORIENTATIONS[image.orientation](mask) for mask in masks])


def check(image: Planted, source, findings) -> None:
    """See that lungs lie where they are drawn, and opacity where the rectangle lies on them."""
    regions = {region.label: region.mask[0] for region in findings.regions}
    pixel = max(1.0, *(length / _GRID for length in image.shape))
    found = np.stack([regions["right lung"], regions["left lung"]])
    for mine, drawn in zip(found, lungs(image), strict=True):
        assert np.abs(centre(mine) - centre(drawn)).max() <= 0.3 * pixel
        assert np.abs(extent(mine) - extent(drawn)).max() <= np.ceil(pixel)
    for side, lung in zip(("right", "left"), found, strict=True):
        truth = image.truth & lung
        marked = regions.get(f"{side} opacity", np.zeros_like(truth))
        rows = np.argwhere(truth).shape[0]
        wrong = np.argwhere(marked ^ truth).shape[0]
        border = 2 * pixel * sum(np.ptp(np.argwhere(truth), axis=0) + 2) if rows else 4 * pixel**2
        assert wrong <= border, side
        if marked.any() and rows > 16 * pixel**2:
            assert np.abs(extent(marked) - extent(truth)).max() <= np.ceil(pixel), side
    (heatmap,) = findings.heatmaps
    assert heatmap.values.shape == source.pixel_array.shape
    assert heatmap.grid == source.geometry
    eighth_bit, inside = np.rint(255 * heatmap.values[0]), found.any(axis=0)
    assert (eighth_bit[~inside] == 1).all()
    assert 10 <= eighth_bit[inside].min() <= eighth_bit[inside].max() <= 245
    opacity = np.any([mask for label, mask in regions.items() if label.endswith("opacity")], axis=0)
    assert (heatmap.values[0][opacity] >= 0.5).all()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(planted)
def test_all_lies_where_it_is_on_images_of_any_size_aspect_photometry_and_orientation(find, image):
    check(image, *find(image))


@pytest.mark.parametrize(
    ("image", "side"),
    [
        (Planted(shape=(256, 256), top=0.5, left=0.2, photometric="MONOCHROME1"), "right"),
        (Planted(shape=(257, 1569), top=0.4, left=0.9, orientation=("F", "L")), "left"),
        (Planted(shape=(1560, 256), top=0.6, left=0.2, orientation=("F", "R")), "right"),  # twice it lies otherwise
        (Planted(shape=(1501, 1243), top=0.3, left=0.8, orientation=("R", "F"), photometric="MONOCHROME1"), "left"),
    ],
    ids=["tiny", "wide", "tall", "large"],
)
def test_opacity_is_of_the_side_on_which_it_lies(find, image, side):
    source, findings = find(image)
    check(image, source, findings)
    assert [region.label for region in findings.regions] == [f"{side} opacity", "right lung", "left lung"]
