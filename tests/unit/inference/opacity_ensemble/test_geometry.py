"""What experts, masks and map mark lies on the stored pixels of any image, however it is stored.

The networks are made by hand and mark bright places; all that is done before and after them is what runs on patients.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from inference import frontal_lungs, radiograph, registry
from inference.frontal import FrontalCheck
from inference.frontal_lungs import FrontalLungs
from inference.opacity_ensemble.ensemble import CONVNEXT, NNUNET_336, NNUNET_768, REFINE
from tests.narrow_ensemble import PIPELINE
from tests.planted_xrays import ORIENTATIONS_BACK, Planted, centre, extent, planted

_SIDES = {CONVNEXT: 336, NNUNET_336: 336, NNUNET_768: 768}


@pytest.fixture(scope="module")
def pipeline(weights):
    return registry.load(PIPELINE, weights=weights, settings={"threshold": 0.0})


@pytest.fixture(scope="module")
def look(pipeline, tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "xray.dcm"

    def run(image: Planted):
        source = radiograph.load(image.write(path))
        assert pipeline.accepts(source) is None
        return source, pipeline

    nothing = FrontalLungs(probabilities=None, masks=None, check=FrontalCheck())
    # Whether an image is a frontal one is asked elsewhere, and takes a third of the time here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontal_lungs, "frontal_lungs", lambda *_: nothing)
        yield run


def check_experts(image: Planted, maps) -> None:
    """See that each expert marks the rectangle, with one edge off by one of the expert's own pixels at most."""
    truth = image.truth
    for name, values in maps.items():
        assert values.shape == truth.shape
        pixel = max(1.0, *(length / _SIDES[name] for length in truth.shape)) if name != REFINE else 1.0
        assert np.abs(centre(values >= 0.5) - centre(truth)).max() <= 0.6 * pixel, name
        assert np.abs(extent(values >= 0.5) - extent(truth)).max() <= np.ceil(pixel), name


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(planted)
def test_experts_mark_what_is_there_on_images_of_any_size_aspect_photometry_and_orientation(look, image):
    source, pipeline = look(image)
    check_experts(image, pipeline.experts(source, "cpu"))


@pytest.mark.parametrize(
    "image",
    [
        Planted(shape=(256, 256), top=0.5, left=0.1, photometric="MONOCHROME1"),
        Planted(shape=(257, 2569), top=0.0, left=1.0, orientation=("F", "L")),
        Planted(shape=(2560, 256), top=1.0, left=0.0, orientation=("F", "R")),  # turned twice it lies otherwise
        Planted(shape=(2501, 2043), top=0.3, left=0.8, orientation=("R", "F"), photometric="MONOCHROME1"),
    ],
    ids=["tiny", "wide", "tall", "large"],
)
def test_mask_map_and_lungs_lie_where_the_image_shows_them(look, image):
    source, pipeline = look(image)
    findings = pipeline(source, "cpu")
    truth = image.truth
    opacity = np.any([r.mask[0] for r in findings.regions if r.label.endswith("opacity")], axis=0)
    assert np.abs(extent(opacity) - extent(truth)).max() <= np.ceil(max(1.0, *(n / 336 for n in truth.shape)))
    (heatmap,) = findings.heatmaps
    assert heatmap.values.shape == source.pixel_array.shape
    assert heatmap.grid == source.geometry
    assert np.array_equal(heatmap.values[0] >= 0.5, opacity)
    upright = image.orientation
    side = "right" if image.box[1].start + image.box[1].stop < image.shape[1] else "left"
    assert [region.label for region in findings.regions] == [f"{side} opacity", "right lung", "left lung"]
    regions = {region.label: ORIENTATIONS_BACK[upright](region.mask[0]) for region in findings.regions}
    columns = [centre(regions[f"{side} lung"])[1] for side in ("right", "left")]
    assert columns[0] < image.shape[1] / 2 < columns[1]
    near = [abs(centre(regions[f"{side} lung"])[0] - image.shape[0] / 2) for side in ("right", "left")]
    assert max(near) <= 1.0
