"""Images judged one by one: what stands in their rows, and that none of them stops the rest."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evaluation.boxes import Box
from evaluation.calibration import calibrated
from evaluation.keeping import BusyError, Kept
from evaluation.maps import weighted_log_loss
from evaluation.outputs import OutputError, Outputs
from evaluation.overlap import Overlap
from evaluation.rows import State
from evaluation.run import CannotCalibrateError, Evaluation
from evaluation.summary import summarise
from evaluation.truth import Truth
from inference.coding import Code
from inference.findings import Algorithm, Findings
from inference.findings import Box as FoundBox
from tests.unit.evaluation.brightness import CARD, OUTPUTS, SHAPE, labelled, radiograph, settings, subject

LEFT_SPOT, RIGHT_SPOT = (slice(4, 8), slice(2, 10)), (slice(10, 14), slice(20, 30))


@pytest.fixture
def images(tmp_path):
    """Opacity on both sides; on one; something faint; nothing."""
    folder = tmp_path / "images"
    spots = [[(LEFT_SPOT, 0.9), (RIGHT_SPOT, 0.8)], [(LEFT_SPOT, 0.7)], [(RIGHT_SPOT, 0.3)], []]
    return [radiograph(folder, number, spot) for number, spot in enumerate(spots, start=1)]


@pytest.fixture
def judge(tmp_path):
    def run(pairs, the_subject=None, what="first", **changes):
        with Kept(tmp_path / "out", {"of": what}).held() as kept:
            evaluation = Evaluation(the_subject or subject(), settings(**changes), kept)
            evaluation.run(pairs)
        return evaluation

    return run


def masked(image, folder, *places, shape=SHAPE):
    pixels = np.zeros(shape, dtype=np.uint8)
    for place in places:
        pixels[place] = 255
    Image.fromarray(pixels).save(folder / f"{image.uid}.png")
    return image, Truth(masks={"": folder / f"{image.uid}.png"})


def test_masks_maps_and_the_label_that_follows_stand_in_the_row(images, judge, tmp_path):
    evaluation = judge([masked(images[0], tmp_path, LEFT_SPOT), masked(images[3], tmp_path)])
    first, nothing = evaluation.rows
    assert first.regions == {"opacity": Overlap(truth=32, found=72, both=32)}
    assert (first.label, first.score) == (1, pytest.approx(0.9))
    assert (nothing.label, nothing.score) == (0, 0)
    values = np.zeros(SHAPE)
    values[LEFT_SPOT], values[RIGHT_SPOT] = 0.9, 0.8
    truth = np.zeros(SHAPE, dtype=bool)
    truth[LEFT_SPOT] = True
    assert first.map_loss == pytest.approx(weighted_log_loss(values, truth), rel=1e-3)


def test_labels_alone_judge_the_score_and_nothing_else(images, judge):
    evaluation = judge([labelled(images[0], 1), labelled(images[3], 0)])
    assert [(row.label, row.regions, row.map_loss) for row in evaluation.rows] == [(1, {}, None), (0, {}, None)]
    found = summarise(evaluation.rows, settings())
    assert found.score.roc.area.value == 1
    assert found.score.decisions.threshold == 0.6


def test_boxes_lie_round_what_is_marked_and_are_masks_only_when_asked(images, judge):
    truth = Truth(label=1, boxes=(Box(x=2, y=4, width=8, height=4, name="typical"),))
    (row,) = judge([(images[0], truth)]).rows
    assert (row.regions, row.map_loss) == ({}, None)
    assert [(box.x, box.y, box.width, box.height) for box in row.found_boxes] == [(2, 4, 8, 4), (20, 10, 10, 4)]
    assert [box.score for box in row.found_boxes] == pytest.approx([0.9, 0.8])
    assert summarise([row], settings()).box_precision[0].mean == pytest.approx(1)
    (row,) = judge([(images[0], truth)], what="filled", fill_boxes=True).rows
    assert row.regions == {"opacity": Overlap(truth=32, found=72, both=32)}


class Boxer:
    """A pipeline that draws a box itself, the same on all images."""

    card = CARD

    def accepts(self, _source):
        return None

    def __call__(self, source, device):  # noqa: ARG002 - as it is called
        typical = Code("TYPICAL", "99TEST", "Typical appearance")
        box = FoundBox(label="box 1", finding=typical, left=2, top=4, right=10, bottom=8, certainty=0.8)
        algorithm = Algorithm(name="boxer", version="1")
        return Findings(algorithm=algorithm, source_instances=source.sop_instance_uids, boxes=(box,))


@pytest.mark.parametrize(
    ("said", "mean", "any_class"),
    [("typical", 1, 1), ("Typical Appearance", 1, 1), ("atypical", 0, 1), ("opacity", 1, 1)],
)
def test_boxes_that_a_pipeline_draws_are_judged_by_class_where_the_truth_has_classes(
    images, judge, said, mean, any_class
):
    boxer = replace(subject(), pipeline=Boxer())
    truth = Truth(label=1, boxes=(Box(x=2, y=4, width=8, height=4, name=said),))
    own = Outputs(boxes=True)
    rows = judge([(images[0], truth)], boxer, outputs=own).rows
    assert [(box.x, box.y, box.width, box.height, box.score) for box in rows[0].found_boxes] == [(2, 4, 8, 4, 0.8)]
    (precision,) = summarise(rows, settings(outputs=own, ious=(0.9,))).box_precision
    assert (precision.mean, precision.any_class) == (pytest.approx(mean), pytest.approx(any_class))


def test_masks_by_side_are_judged_together_where_the_pipeline_is(images, judge, tmp_path):
    outputs = replace(OUTPUTS, parts=("right opacity", "left opacity"))
    sides = {"right-opacity": (LEFT_SPOT,), "left-opacity": (RIGHT_SPOT,)}
    masks = {}
    for name, places in sides.items():
        (tmp_path / name).mkdir()
        masks |= {name: masked(images[0], tmp_path / name, *places)[1].masks[""]}
    both, one = judge([(images[0], Truth(masks=masks)), (images[1], Truth(masks=masks))], outputs=outputs).rows
    assert both.regions == {"opacity": Overlap(truth=72, found=72, both=72)}
    assert one.regions == {"opacity": Overlap(truth=72, found=32, both=32)}


def test_a_mask_that_is_said_to_be_of_another_region_is_judged_anew(images, judge, tmp_path):
    path = masked(images[0], tmp_path, LEFT_SPOT)[1].masks[""]
    outputs = replace(OUTPUTS, masks=("right opacity", "left opacity"))
    for region, both in (("right-opacity", 32), ("left-opacity", 0)):
        (row,) = judge([(images[0], Truth(masks={region: path}))], outputs=outputs).rows
        assert [(name, overlap.both) for name, overlap in row.regions.items()] == [(region.replace("-", " "), both)]


def test_boxes_know_no_class_however_many_masks_are_judged(images, judge):
    truth = Truth(label=1, boxes=(Box(x=2, y=4, width=8, height=4, name="typical"),))
    sides = replace(OUTPUTS, masks=("right opacity", "left opacity", "opacity"))
    (row,) = judge([(images[0], truth)], outputs=sides).rows
    assert len(row.found_boxes) == 2
    assert summarise([row], settings(outputs=sides)).box_precision[0].mean == pytest.approx(1)


def test_a_mask_of_another_size_or_a_box_outside_is_a_refusal_of_this_image_alone(images, judge, tmp_path):
    outside = Truth(label=1, boxes=(Box(x=30, y=4, width=8, height=4),))
    evaluation = judge(
        [masked(images[0], tmp_path, shape=(5, 5)), (images[1], outside), masked(images[2], tmp_path, RIGHT_SPOT)],
        fill_boxes=True,
    )
    assert [(row.state, row.code) for row in evaluation.rows] == [
        (State.REFUSED, "truth-of-other-size"),
        (State.REFUSED, "box-outside"),
        (State.JUDGED, ""),
    ]


def test_an_image_that_breaks_the_pipeline_or_is_none_stops_nothing(images, judge, tmp_path):
    images[0].paths[0].write_bytes(images[0].paths[0].read_bytes()[:300])
    blank = radiograph(tmp_path / "images", 9, [((slice(None), slice(None)), 1.0)])
    evaluation = judge([labelled(images[0], 1), labelled(blank, 0), labelled(images[1], 1)])
    broken, empty, whole = evaluation.rows
    assert broken.state in (State.FAILED, State.REFUSED)
    assert (empty.state, empty.code) == (State.REFUSED, "empty-image")
    assert whole.state is State.JUDGED


def test_a_name_that_the_pipeline_does_not_give_ends_at_once_with_those_that_it_gives(images, judge):
    with pytest.raises(OutputError, match=r"--score 'Opacity probability'.*--mask .*'opacity'"):
        judge([labelled(images[0], 1)], outputs=Outputs(score="Lung opacity", masks=("opacities",)))


def test_one_wrong_name_among_others_is_told_in_the_end(images, judge):
    changed = settings(outputs=Outputs(score="Opacity probability", masks=("lung",)))
    rows = judge([labelled(images[0], 1)], outputs=changed.outputs).rows
    assert any("never gave 'lung'" in note for note in summarise(rows, changed).notes)


def test_what_was_done_is_not_done_again_but_what_changed_is(images, judge, tmp_path):
    pairs = [labelled(image, 1) for image in images[:3]]
    first = judge(pairs[:2])
    going_on = subject()
    second = judge([(pairs[0][0], Truth(label=0)), *pairs[1:]], going_on)
    assert going_on.pipeline.calls == 2  # the second image is kept, the first has another truth
    assert second.rows[1] == first.rows[1]
    assert second.rows[0].label == 0
    anew = subject()
    judge(pairs, anew, what="other settings")
    assert anew.pipeline.calls == 3


def test_parameters_that_differ_from_image_to_image_are_no_settings(images, judge):
    assert judge([labelled(image, 1) for image in images[:2]]).algorithm.parameters == {"threshold": "0.6"}
    kept = judge([labelled(image, 1) for image in images[:2]], subject())
    assert kept.algorithm.parameters == {"threshold": "0.6"}


def test_a_line_that_was_cut_off_is_an_image_not_done(images, judge, tmp_path):
    pairs = [labelled(image, 1) for image in images[:2]]
    judge(pairs)
    lines = tmp_path / "out" / "unfinished" / "rows.jsonl"
    lines.write_text(lines.read_text()[:-40])
    again = subject()
    assert len(judge(pairs, again).rows) == 2
    assert again.pipeline.calls == 1


def test_two_evaluations_never_write_into_one_folder(tmp_path):
    with Kept(tmp_path, {}).held(), pytest.raises(BusyError, match="--out"), Kept(tmp_path, {}).held():
        pass


def test_the_worst_are_shown_and_no_other_picture_stays(images, judge, tmp_path):
    pairs = [
        masked(images[0], tmp_path, LEFT_SPOT, RIGHT_SPOT),
        masked(images[1], tmp_path, RIGHT_SPOT),
        masked(images[3], tmp_path),
    ]
    evaluation = judge(pairs, pictures=1)
    assert [row.uid for row in evaluation.worst()] == [images[1].uid]
    assert len(list((tmp_path / "out" / "unfinished").glob("*.png"))) == 1
    assert not judge(pairs, what="none", pictures=0).worst()


def test_experts_are_weighted_by_the_inverse_of_their_loss_on_images_that_all_looked_at(images, judge, tmp_path):
    pairs = [masked(images[0], tmp_path, LEFT_SPOT, RIGHT_SPOT), masked(images[2], tmp_path, RIGHT_SPOT)]
    rows = judge(pairs, calibrate=True).rows
    assert [list(row.experts) for row in rows] == [["sharp", "blind"], ["sharp"]]
    found = calibrated([row.experts for row in rows], ("sharp", "blind"))
    assert found.images == 1
    assert found.losses["blind"] == pytest.approx(math.log(2))
    inverse = [1 / rows[0].experts["sharp"], 1 / math.log(2)]
    assert list(found.weights.values()) == pytest.approx([value / sum(inverse) for value in inverse])
    assert found.setting == f"expert_weights = [{', '.join(f'{weight:.4f}' for weight in found.weights.values())}]"
    assert "few images" in found.warning


def test_weights_of_losses_of_two_and_one_are_a_third_and_two_thirds():
    found = calibrated([{"b": 0.25, "a": 1.0}, {"a": 3.0, "b": 1.75}, {"a": 9.0}], ("a", "b"))
    assert found.losses == {"a": 2.0, "b": 1.0}
    assert list(found.weights.values()) == pytest.approx([1 / 3, 2 / 3])
    assert found.setting == "expert_weights = [0.3333, 0.6667]"
    assert found.images == 2


def test_no_weights_are_given_where_an_expert_never_ran_and_the_report_says_so(images, judge, tmp_path):
    evaluation = judge([masked(images[2], tmp_path, RIGHT_SPOT)], calibrate=True)
    assert [list(row.experts) for row in evaluation.rows] == [["sharp"]]
    found = summarise(evaluation.rows, settings(calibrate=True), evaluation.experts)
    assert found.calibration is None
    assert any("no image was looked at by all experts" in note for note in found.notes)


def test_a_pipeline_without_experts_cannot_be_calibrated(tmp_path):
    class Plain:
        pass

    with pytest.raises(CannotCalibrateError):
        Evaluation(replace(subject(), pipeline=Plain()), settings(calibrate=True), Kept(tmp_path, {}))
