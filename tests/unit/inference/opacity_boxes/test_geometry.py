"""A box lies on the stored pixels where the image shows what it is round, however the image is stored and cut.

The network is made by hand and boxes what is bright; all that is done before and after it is what runs on patients.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import frontal_lungs, radiograph, registry
from inference.frontal import FrontalCheck
from inference.frontal_lungs import FrontalLungs
from inference.opacity_boxes import prepared
from tests.narrow_boxes import PIPELINE, Boxes
from tests.planted_xrays import ORIENTATIONS
from tests.radiographs import chest_pixels, write_xray

OFF = 0.15
"""Of a pixel of the network, that an edge may be off."""


@dataclass(frozen=True)
class Planted:
    """An upright image with a bright rectangle, how it is cut, and how it is stored; places are shares of it."""

    shape: tuple[int, int]
    cut: tuple[float, float, float, float] | None
    orientation: tuple[str, str] = ("L", "F")
    photometric: str = "MONOCHROME2"

    @property
    def crop(self) -> tuple[slice, slice] | None:
        """Always holds the rectangle."""
        if self.cut is None:
            return None
        (rows, columns), (top, bottom, left, right) = self.shape, self.cut
        return slice(round(top * rows), round(bottom * rows)), slice(round(left * columns), round(right * columns))

    @property
    def bright(self) -> np.ndarray:
        mask = np.zeros(self.shape, dtype=bool)
        rows, columns = self.shape
        mask[round(0.45 * rows) : round(0.6 * rows), round(0.3 * columns) : round(0.5 * columns)] = True
        return mask

    def write(self, path):
        grey = np.where(self.bright, 4000, 1000).astype(np.uint16)
        stored = np.ascontiguousarray(ORIENTATIONS[self.orientation](grey))
        if self.photometric == "MONOCHROME1":
            stored = 5000 - stored
        changes = {"PatientOrientation": list(self.orientation), "PhotometricInterpretation": self.photometric}
        return write_xray(path, stored, changes)


lengths = st.integers(256, 2600)
planted = st.builds(
    Planted,
    shape=st.tuples(lengths, lengths),
    cut=st.one_of(st.none(), st.tuples(st.floats(0, 0.4), st.floats(0.65, 1), st.floats(0, 0.25), st.floats(0.55, 1))),
    orientation=st.sampled_from(list(ORIENTATIONS)),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    with pytest.MonkeyPatch.context() as patch:
        yield registry.load(PIPELINE, weights=Boxes(folder, typical_appearance=0.9).stand_in(patch))


@pytest.fixture
def look(pipeline, tmp_path):
    def run(image: Planted):
        source = radiograph.load(image.write(tmp_path / "xray.dcm"))
        assert pipeline.accepts(source) is None
        with pytest.MonkeyPatch.context() as patch:  # lungs take longer to find than all else here
            nothing = np.zeros((2, *image.shape), dtype=bool)
            patch.setattr(
                frontal_lungs,
                "frontal_lungs",
                lambda *_: FrontalLungs(probabilities=None, masks=nothing, check=FrontalCheck()),
            )
            patch.setattr(prepared, "lung_crop", lambda _: image.crop)
            return source, pipeline(source, "cpu")

    return run


def edges_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(image=planted)
def test_a_box_lies_round_what_is_there_on_images_of_any_size_aspect_cut_photometry_and_orientation(look, image):
    source, findings = look(image)
    (box,) = findings.boxes
    truth = edges_of(ORIENTATIONS[image.orientation](image.bright))
    # In pixels of the image, one of the network is large where the cut image was made smaller.
    cut = [side.stop - side.start for side in image.crop] if image.crop else list(image.shape)
    pixel = max(1.0, 1 / min(800 / min(cut), 1333 / max(cut)))
    found = (box.left, box.top, box.right, box.bottom)
    assert np.abs(np.subtract(found, truth)).max() <= OFF * pixel, (found, truth)
    assert source.pixel_array.shape[1:] == ORIENTATIONS[image.orientation](image.bright).shape


def test_lungs_of_a_chest_are_cut_to_and_a_bright_place_in_them_is_boxed(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "equalize_hist", lambda greys, nbins: (greys > 0.9 * nbins).astype(float))
    pixels = chest_pixels((520, 460))
    pixels[200:260, 90:150] = 4000
    source = radiograph.load(write_xray(tmp_path / "xray.dcm", pixels))
    findings = pipeline(source, "cpu")
    (box,) = findings.boxes
    assert np.abs(np.subtract((box.left, box.top, box.right, box.bottom), (90, 200, 150, 260))).max() <= 1
    assert not any("whole image" in warning for warning in findings.warnings)
