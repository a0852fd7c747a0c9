import pytest

from inference.networks.faster_rcnn import NetworkBox
from inference.opacity_boxes.choice import choose, overlap
from inference.opacity_boxes.options import Options
from inference.upright import Rectangle

TYPICAL, ATYPICAL, NONE = "typical appearance", "atypical appearance", "no pneumonia"
USUAL = Options(threshold=0.5, boxes=5, overlap=0.5)


def box(certainty, output=TYPICAL, left=0.0, width=10.0):
    return NetworkBox(
        place=Rectangle(left=left, top=0, right=left + width, bottom=10), output=output, certainty=certainty
    )


def apart(*certainties):
    return [box(certainty, left=20.0 * number) for number, certainty in enumerate(certainties)]


def test_without_any_box_the_image_is_healthy():
    choice = choose([], USUAL)
    assert (choice.appearance, choice.is_healthy, choice.findings, choice.score) == (NONE, True, (), 0.0)


def test_a_box_below_the_threshold_decides_nothing_and_is_no_finding():
    choice = choose(apart(0.49), USUAL)
    assert choice.is_healthy
    assert choice.findings == ()
    assert choice.score == 0.49
    assert not choose(apart(0.5), USUAL).is_healthy


def test_the_most_certain_box_says_what_the_image_is():
    choice = choose([box(0.9, ATYPICAL), box(0.8, left=50)], USUAL)
    assert choice.appearance == ATYPICAL
    assert not choice.is_healthy
    assert choice.score == 0.9


def test_a_box_of_no_pneumonia_decides_and_is_no_finding():
    choice = choose([box(0.9, NONE), box(0.8)], USUAL)
    assert choice.is_healthy
    assert choice.score == 0.0
    assert [one.output for one in choice.findings] == [TYPICAL]


def test_five_boxes_are_findings_and_the_others_are_counted():
    choice = choose(apart(0.99, 0.9, 0.8, 0.7, 0.65, 0.6, 0.55, 0.3), USUAL)
    assert [one.certainty for one in choice.findings] == [0.99, 0.9, 0.8, 0.7, 0.65]
    assert choice.left_out == 2


def test_one_place_has_one_appearance_the_more_certain_one():
    choice = choose([box(0.9, ATYPICAL), box(0.8, left=3.0), box(0.7, left=4.0)], USUAL)
    assert [(one.output, one.place.left) for one in choice.findings] == [(ATYPICAL, 0), (TYPICAL, 4.0)]
    assert choice.left_out == 0


@pytest.mark.parametrize(
    ("left", "width", "share"), [(0, 10, 1.0), (5, 10, 1 / 3), (10, 10, 0.0), (30, 10, 0.0), (0, 5, 0.5)]
)
def test_overlap_is_the_common_part_over_the_union(left, width, share):
    assert overlap(box(1).place, box(1, left=left, width=width).place) == pytest.approx(share)
