"""The recipe of `opacity-boxes`: the source's numbers, its start, and boxes that stay round what they are round."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner

from evaluation.boxes import Box
from inference.networks.faster_rcnn import BoxNet, Widths
from inference.weights import manifest
from node.cli import app
from node.installation import Installation
from tests.radiographs import write_xray
from tests.unit.training.images.folders import write_rsna, write_siim
from training.errors import TrainingError
from training.images.labelled import Images, LabelledImage
from training.loop.task import Start
from training.opacity_boxes import recipe
from training.opacity_boxes.numbers import Numbers
from training.opacity_boxes.task import BoxesTask, Made

NARROW = Widths(
    blocks=(1, 1, 1, 1),
    narrower=8,
    pyramid=16,
    head=32,
    anchors=(8, 16, 32, 48, 64),
    shorter=64,
    longer=128,
    proposals=(32, 32),
    sampled=(32, 16),
)
CLASSES = manifest.SLOTS["opacity-boxes"].outputs
PLACE = np.s_[60:120, 150:200]
LOSSES = {"loss_objectness": 2.0, "loss_classifier": 0.3, "loss_rpn_box_reg": 0.05, "loss_box_reg": 0.4}


def task(tmp_path, examples=(), start=None, **changes):
    numbers = replace(Numbers(), **changes)
    made = Made(numbers=numbers, start=start or Start(), place=tmp_path, data={}, widths=NARROW)
    return BoxesTask(list(examples), made)


def xray(folder, name="one", orientation=("L", "F"), finding="typical appearance", boxes=None):
    """An X-ray of two greys whose bright rectangle is in a box."""
    upright = np.zeros((256, 300), dtype=np.uint16)
    upright[PLACE] = 4000
    turned = {("L", "F"): upright, ("R", "F"): upright[:, ::-1], ("F", "L"): upright.T}[orientation]
    path = write_xray(folder / f"{name}.dcm", np.ascontiguousarray(turned), {"PatientOrientation": list(orientation)})
    rows, columns = np.nonzero(turned)
    box = Box(
        x=float(columns.min()),
        y=float(rows.min()),
        width=float(np.ptp(columns) + 1),
        height=float(np.ptp(rows) + 1),
        name=finding,
    )
    kept = (box,) if boxes is None else boxes
    return LabelledImage(name=name, patient=name, path=path, finding=finding, is_opaque=bool(kept), boxes=kept)


def test_the_numbers_are_the_sources():
    numbers = Numbers()
    assert (numbers.learning_rate, numbers.momentum, numbers.weight_decay) == (1e-4, 0.9, 5e-4)
    said = {name: torch.tensor(value) for name, value in LOSSES.items()}
    assert float(numbers.loss(said)) == pytest.approx(2.0 + 10 * 0.3 + 10 * 0.05 + 0.5 * 0.4**2)


def test_the_rate_stays_unless_it_is_to_rise_and_fall(tmp_path):
    made = task(tmp_path)
    optimizer = made.optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert [optimizer.defaults[name] for name in ("lr", "momentum", "weight_decay")] == [1e-4, 0.9, 5e-4]
    assert made.schedule(optimizer, steps=5, epochs=2) is None
    assert task(tmp_path, one_cycle=True).schedule(optimizer, steps=5, epochs=2) is not None


@pytest.mark.parametrize(("steepest", "step"), [(None, 30.0), (1.0, 1.0)])
def test_a_steep_slope_is_cut_where_that_is_wanted(tmp_path, steepest, step):
    value = torch.nn.Parameter(torch.zeros(1))
    optimizer = task(tmp_path, learning_rate=1.0, weight_decay=0.0, steepest=steepest).optimizer([value])

    def closure():
        optimizer.zero_grad()
        loss = 30 * value.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(value) == pytest.approx(-step)


def test_from_coco_all_but_the_head_is_kept_and_the_first_stages_stay_as_they_are(tmp_path):
    torch.manual_seed(1)
    coco = BoxNet(91, NARROW).state_dict()
    kept = {name: value for name, value in coco.items() if not name.startswith("roi_heads.box_predictor.")}
    made = task(tmp_path, start=Start(said="coco", state=kept))
    network = made.network()
    assert all(torch.equal(network.state_dict()[name], value) for name, value in kept.items())
    assert network.roi_heads.box_predictor.cls_score.out_features == len(CLASSES)
    body = network.backbone.body
    assert list(made.frozen(network)) == [body.conv1, body.bn1, body.layer1]
    assert not [name for name, _ in network.named_parameters() if ".bn" in name]
    from_nothing = task(tmp_path)
    assert list(from_nothing.frozen(from_nothing.network())) == []


@pytest.mark.parametrize("orientation", [("L", "F"), ("R", "F"), ("F", "L")])
@pytest.mark.parametrize("varied", [False, True])
def test_a_box_stays_round_what_it_is_round_however_the_image_is_stored_and_mirrored(tmp_path, orientation, varied):
    made = task(tmp_path, [xray(tmp_path, orientation=orientation)], flipped=1.0)
    torch.manual_seed(3)
    pixels, boxes, labels = made.sample(0, varied=varied)
    assert pixels.shape == NARROW.size((256, 300))
    ((left, top, right, bottom),) = boxes.tolist()
    bright = pixels > (pixels.max() + pixels.min()) / 2
    rows, columns = torch.nonzero(bright.any(dim=1))[:, 0], torch.nonzero(bright.any(dim=0))[:, 0]
    assert (left, top) == (pytest.approx(int(columns[0]), abs=1), pytest.approx(int(rows[0]), abs=1))
    assert (right, bottom) == (pytest.approx(int(columns[-1]) + 1, abs=1), pytest.approx(int(rows[-1]) + 1, abs=1))
    assert [CLASSES[label] for label in labels] == ["typical appearance"]
    middle = pixels.shape[1] / 2
    assert ((left + right) / 2 > middle) is not varied  # it was on the patient's left


def test_an_image_without_boxes_is_learnt_as_background(tmp_path):
    made = task(tmp_path, [xray(tmp_path, boxes=(), finding="Negative for Pneumonia")])
    _, boxes, labels = made.sample(0, varied=True)
    assert boxes.shape == (0, 4)
    assert labels.shape == (0,)
    losses = made.losses(made.network().train(), made.collate([made.sample(0, varied=False)]))
    assert torch.isfinite(losses["loss"])


def test_what_was_learnt_is_judged_on_the_stored_pixels(tmp_path):
    made = task(tmp_path, [xray(tmp_path, orientation=("F", "L"))])
    network = made.network().eval()
    network.roi_heads.score_thresh = 0.0
    row = made.judged(network, 0, "cpu")
    (true,) = row.boxes
    assert (true.name, row.label) == ("typical", 1)
    assert (true.x, true.y, true.width, true.height) == (60, 150, 60, 50)
    assert all(box.x >= 0 and box.x + box.width <= 256.01 and box.y + box.height <= 300.01 for box in row.found_boxes)


def test_a_loss_that_is_no_number_ends_the_training_saying_so(tmp_path):
    made = task(tmp_path, [xray(tmp_path)])
    network = made.network().train()
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias.fill_(np.nan)
    with pytest.raises(TrainingError, match="--learning-rate"):
        made.losses(network, made.collate([made.sample(0, varied=False)]))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"boxes": (Box(x=1, y=1, width=5, height=5, name="opacity"),)}, "boxes of opacity"),
        ({"boxes": None, "mask": "mask.png"}, "a mask in place of boxes"),
        ({"boxes": ()}, "no image has a box"),
    ],
    ids=["no class", "mask", "no box"],
)
def test_images_whose_boxes_have_no_class_of_ours_are_not_learnt_from(tmp_path, changes, why):
    image = replace(xray(tmp_path), **changes)
    with pytest.raises(TrainingError, match=why):
        recipe._check(Images(origin="made up", place=tmp_path, usable=(image,)))


@pytest.fixture(scope="module")
def siim(tmp_path_factory):
    return write_siim(tmp_path_factory.mktemp("siim"))


def test_a_folder_of_kaggles_ends_in_a_file_for_the_slot_the_same_each_time(siim, tmp_path):
    how = recipe.How(changed={"epochs": 1, "batch": 2}, common={"folds": 0}, widths=NARROW)
    cards = [
        recipe.make(recipe.Sources(data=siim, out=tmp_path / name, weights=None), how) for name in ("one", "other")
    ]
    path, again = (tmp_path / name / cards[0]["file"] for name in ("one", "other"))
    state = load_file(again)
    assert all(torch.equal(state[name], value) for name, value in load_file(path).items())
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["outputs"].split(", ") == list(CLASSES)
    assert cards[0]["recipe"]["classifier"] == 10.0
    assert cards[0]["data"]["images"] == 3
    assert [one["why"] for one in cards[0]["data"]["left_out"]] != []
    record = Installation(tmp_path / "weights").add(manifest.SLOTS["opacity-boxes"], path)
    assert record.outputs == CLASSES


def test_the_command_says_what_it_needs(siim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rsna = write_rsna(tmp_path / "rsna")

    def refusal(*arguments):
        done = CliRunner().invoke(app, ["train", "opacity-boxes", "--out", "out", *map(str, arguments)])
        assert done.exit_code == 2, done.output
        return " ".join(done.output.split())

    assert refusal("--data", siim).endswith(
        "Install them (opacity-node models fetch fasterrcnn-coco). To train without fasterrcnn-coco: --start nothing."
    )
    assert "boxes of opacity; a box must be of" in refusal("--data", rsna, "--start", "nothing")
