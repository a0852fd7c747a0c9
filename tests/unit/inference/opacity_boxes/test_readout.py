import numpy as np
import pytest

from inference.networks.faster_rcnn import NetworkBox
from inference.opacity_boxes.choice import choose
from inference.opacity_boxes.options import Options
from inference.opacity_boxes.prepared import Prepared
from inference.opacity_boxes.readout import Readout
from inference.radiograph import load
from inference.upright import Rectangle
from tests.radiographs import lungs, write_xray

SHAPE = (320, 288)
TYPICAL, NONE = "typical appearance", "no pneumonia"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load(write_xray(tmp_path_factory.mktemp("xray") / "x.dcm", np.ones(SHAPE, dtype=np.uint16)))


@pytest.fixture
def read(source):
    def make(*boxes, found_lungs=(True, True), is_cropped=True, most=5):
        masks = np.concatenate(lungs(SHAPE)) & np.array(found_lungs)[:, None, None]
        crop = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
        return Readout(
            radiograph=source,
            shown=Prepared(pixels=np.zeros(SHAPE, dtype=np.float32), crop=crop, is_cropped=is_cropped),
            choice=choose(boxes, Options(threshold=0.5, boxes=most, overlap=0.5)),
            threshold=0.5,
            lungs=masks,
        )

    return make


def box(left, right, certainty=0.9, output=TYPICAL, bottom=60.0):
    place = Rectangle(left=left, top=20.0, right=right, bottom=bottom)
    return NetworkBox(place=place, output=output, certainty=certainty)


@pytest.mark.parametrize(
    ("edges", "found", "site"),
    [
        ((40, 100), (True, True), "Right lung"),
        ((150, 250), (True, True), "Left lung"),
        ((40, 100), (True, False), "Lung"),
        ((40, 100), (False, False), "Lung"),
    ],
)
def test_a_box_lies_on_the_side_of_its_middle_and_on_none_where_a_lung_is_not_found(read, edges, found, site):
    (one,) = read(box(*edges), found_lungs=found).boxes()
    assert one.site.location.meaning == site
    assert (one.site.laterality is None) == (site == "Lung")


def test_what_reaches_beyond_the_image_ends_at_its_edge(read):
    (one,) = read(box(-0.25, 288.5, bottom=320.125)).boxes()
    assert (one.left, one.top, one.right, one.bottom) == (0, 20, 288, 320)


def test_the_verdict_comes_first_and_all_that_was_left_out_is_said(read):
    said = list(read(box(10, 50), box(100, 140, 0.8), most=1).warnings(["no left lung was found"]))
    assert said[0].startswith("Not healthy: the most certain box, of typical appearance, has 90 %, at or above the")
    assert said[1] == "Hardly a frontal chest image, says lung-fields: no left lung was found."
    assert said[2] == "1 more box, less certain, is not drawn."
    assert "uncertain" in said[-1]
    whole = list(read(is_cropped=False).warnings([]))
    assert whole == [
        "Healthy: no box reaches the threshold of 50 %. That excludes nothing.",
        "Rows and columns do not show where the lungs are: the whole image was looked at.",
    ]


def test_boxes_beside_a_more_certain_one_of_no_pneumonia_are_drawn_and_warned_about(read):
    readout = read(box(10, 50, 0.95, NONE), box(100, 140, 0.8))
    assert [one.finding.meaning for one in readout.boxes()] == ["Typical appearance"]
    said = list(readout.warnings([]))
    assert said[0].startswith("Healthy: the most certain box, of no pneumonia, has 95 %")
    assert said[1] == "Boxes of pneumonia are drawn beside a more certain one of no pneumonia."
    assert [category.value.meaning for category in readout.categories()] == ["Healthy", "No pneumonia"]
    assert readout.measurements()[0].value == 0
