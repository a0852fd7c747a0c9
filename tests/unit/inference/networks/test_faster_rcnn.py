"""Faster R-CNN in full width as torchvision has it, and a narrow one through the same constructor."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from inference import compute, resident
from inference.networks import faster_rcnn
from inference.networks.faster_rcnn import R50, BoxNet, Widths, boxes, found_on, looked_at
from inference.opacity_boxes.appearances import checked
from inference.opacity_boxes.choice import overlap
from inference.weights import WrongWeightsError, manifest

NARROW = Widths(
    blocks=(1, 1, 1, 1), narrower=8, pyramid=16, head=32, anchors=(8, 16, 32, 48, 64), shorter=96, longer=160
)
SLOT = "opacity-boxes"
CLASSES = manifest.SLOTS[SLOT].outputs


def made(*, eps):
    """A narrow network that boxes much, with normalisations that do something."""
    torch.manual_seed(4)
    network = BoxNet(len(CLASSES), NARROW, eps=eps)
    random = torch.Generator().manual_seed(5)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=random) + 0.5)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.weight.mul_(12)
    return network.eval()


@pytest.fixture(scope="module")
def narrow(stored):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faster_rcnn, "R50", NARROW)
        yield stored(SLOT, made(eps=0.0).state_dict())


@pytest.fixture(scope="module")
def shown():
    random = np.random.default_rng(6)
    return [random.random(NARROW.size(shape), dtype=np.float32) for shape in ((96, 100), (96, 97), (120, 96), (90, 80))]


@pytest.fixture(autouse=True)
def usual_limits():
    compute.set_limits(compute.Limits(precision=compute.Precision.FLOAT32))
    yield
    compute.set_limits(compute.Limits())
    resident.release_all()


def check_alike(found, others):
    """See that they are the same but for rounding, which may change the order of boxes that are equally certain."""
    assert len(found) == len(others) > 3
    assert {box.output for box in found} == {box.output for box in others}
    values = [
        np.array([[*edges_of(box.place), box.certainty] for box in sorted(some, key=lambda one: edges_of(one.place))])
        for some in (found, others)
    ]
    np.testing.assert_allclose(*values, atol=1e-2)


def edges_of(place):
    return place.left, place.top, place.right, place.bottom


@pytest.mark.parametrize("eps", [0.0, None], ids=["frozen", "running"])
def test_the_whole_network_has_the_names_and_shapes_of_torchvisions(eps):
    with torch.device("meta"):
        theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=5).state_dict()
        ours = BoxNet(5, R50, eps=eps).state_dict()
    if eps is not None:
        theirs = {name: value for name, value in theirs.items() if not name.endswith("num_batches_tracked")}
    assert {name: value.shape for name, value in ours.items()} == {n: value.shape for n, value in theirs.items()}


def test_frozen_normalisations_have_the_epsilon_of_torchvisions_from_coco_on():
    with torch.device("meta"):
        layers = [layer for layer in BoxNet(5).modules() if isinstance(layer, FrozenBatchNorm2d)]
    assert len(layers) == 53
    assert {layer.eps for layer in layers} == {0.0}


def test_normalisations_that_are_taken_into_convolutions_leave_what_the_backbone_says():
    network = made(eps=1e-5)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                values.normal_()
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        before = network.backbone(image)
        faster_rcnn.fold(network.backbone)
        after = network.backbone(image)
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in network.modules())
    for level, values in before.items():
        torch.testing.assert_close(after[level], values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(800, 900), (3000, 2500), (256, 2500), (1000, 1700)])
def test_an_image_gets_the_size_that_torchvision_gives_it_and_is_scaled_no_more(shape):
    with torch.device("meta"):
        transform = BoxNet(5).transform
    size = R50.size(shape)
    theirs, _ = transform.resize(torch.zeros(3, *shape))
    assert max(abs(ours - their) for ours, their in zip(size, theirs.shape[1:], strict=True)) <= 1
    again, _ = transform.resize(torch.zeros(3, *size))
    assert tuple(again.shape[1:]) == size


def test_what_is_found_is_what_torchvision_finds(narrow, shown):
    found = boxes(narrow, shown, "cpu", overlap=0.5).each
    network = made(eps=0.0)
    for image, ours in zip(shown, found, strict=True):
        with torch.inference_mode():
            (theirs,) = network([torch.from_numpy(image).expand(3, -1, -1)])
        assert len(ours) == len(theirs["scores"]) > 3
        assert [box.certainty for box in ours] == pytest.approx(theirs["scores"].tolist(), abs=1e-5)
        assert [box.output for box in ours] == [CLASSES[label] for label in theirs["labels"].tolist()]
        edges = [edges_of(box.place) for box in ours]
        np.testing.assert_allclose(edges, theirs["boxes"].numpy(), atol=1e-2)


def test_images_together_get_what_each_alone_gets(narrow, shown):
    together = boxes(narrow, shown, "cpu", overlap=0.5).each
    for image, found in zip(shown, together, strict=True):
        (alone,) = boxes(narrow, [image], "cpu", overlap=0.5).each
        check_alike(found, alone)


def test_in_bfloat16_only_the_backbone_is_computed_so_edges_keep_their_digits(narrow, shown):
    (exact,) = boxes(narrow, shown[:1], "cpu", overlap=0.5).each
    compute.set_limits(compute.Limits(precision=compute.Precision.BFLOAT16))
    said = boxes(narrow, shown[:1], "cpu", overlap=0.5)
    assert said.parameters["precision"] == "bfloat16"
    edges = np.array([box.place.right for box in said.each[0]], dtype=np.float32)
    assert (edges != torch.from_numpy(edges).bfloat16().float().numpy()).any()
    assert len(said.each[0]) == pytest.approx(len(exact), abs=0.3 * len(exact))


def test_weights_that_learnt_with_running_normalisations_get_their_epsilon(stored, monkeypatch, shown):
    monkeypatch.setattr(faster_rcnn, "R50", NARROW)
    network = made(eps=None)
    with torch.no_grad():  # a variance beside which an epsilon of 0.00001 is seen
        network.backbone.body.bn1.running_var.fill_(1e-6)
    (found,) = boxes(stored(SLOT, network.state_dict()), shown[:1], "cpu", overlap=0.5).each
    with torch.inference_mode():
        (theirs,) = network([torch.from_numpy(shown[0]).expand(3, -1, -1)])
    edges = sorted(edges_of(box.place) for box in found)
    np.testing.assert_allclose(edges, sorted(map(tuple, theirs["boxes"].tolist())), atol=1e-2)


def test_of_two_boxes_of_a_class_with_more_overlap_one_stays(narrow, shown):
    most = []
    for limit in (0.3, 0.7):
        (found,) = boxes(narrow, shown[:1], "cpu", overlap=limit).each
        pairs = [(one, other) for one, other in combinations(found, 2) if one.output == other.output]
        most.append(max(overlap(one.place, other.place) for one, other in pairs))
    assert most[0] <= 0.3 < most[1] <= 0.7


def test_out_of_memory_halves_how_many_images_are_looked_at_together(narrow, shown, monkeypatch):
    whole = boxes(narrow, shown[:1] * 3, "cpu", overlap=0.5)
    inner = faster_rcnn._found

    def small(network, images, numbers):
        if len(numbers) > 1:
            raise torch.OutOfMemoryError("too much")
        return inner(network, images, numbers)

    monkeypatch.setattr(faster_rcnn, "_found", small)
    said = boxes(narrow, shown[:1] * 3, "cpu", overlap=0.5)
    for found, alone in zip(said.each, whole.each, strict=True):
        check_alike(found, alone)
    assert any("halved" in warning for warning in said.warnings)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (("background", "no pneumonia", "typical appearance", "cat", "dog"), "cat, dog"),
        (tuple(reversed(CLASSES)), "nobody knows"),
        (("no pneumonia", *CLASSES[2:]), "its first output"),
    ],
    ids=["unknown", "background last", "no background"],
)
def test_classes_that_nobody_knows_and_a_background_that_is_not_first_are_refused(narrow, outputs, said):
    with pytest.raises(WrongWeightsError, match=said):
        checked(replace(narrow, outputs=outputs))
    assert checked(narrow) == CLASSES


def test_weights_of_an_older_torchvision_are_the_same_network(stored, monkeypatch, shown):
    monkeypatch.setattr(faster_rcnn, "R50", NARROW)
    network = made(eps=0.0)
    old = {_old_name(name): value for name, value in network.state_dict().items()}
    assert len(old.keys() - network.state_dict().keys()) == 18
    theirs = BoxNet(len(CLASSES), NARROW)
    theirs.load_state_dict(old)  # torchvision renames what it wrote before
    assert all(torch.equal(theirs.state_dict()[name], value) for name, value in network.state_dict().items())
    (found,) = boxes(stored(SLOT, old), shown[:1], "cpu", overlap=0.5).each
    check_alike(found, found_on(network, shown[0], CLASSES))


def _old_name(name):
    for new, old in (("_blocks.0.0.", "_blocks.0."), ("_blocks.1.0.", "_blocks.1."), ("head.conv.0.0.", "head.conv.")):
        name = name.replace(new, old)
    return name.replace("_blocks.2.0.", "_blocks.2.").replace("_blocks.3.0.", "_blocks.3.")


def test_losses_of_a_network_that_learns_are_torchvisions_own(shown):
    network = made(eps=0.0).train()
    images = [torch.from_numpy(image) for image in shown[:2]]
    targets = [{"boxes": torch.tensor([[10.0, 20, 60, 70]]), "labels": torch.tensor([2])}] * 2
    said = []
    for learn in (looked_at, lambda net, grey, wanted: ((), net([one.expand(3, -1, -1) for one in grey], wanted))):
        torch.manual_seed(1)
        said.append({name: float(value) for name, value in learn(network, images, targets)[1].items()})
    assert said[0] == pytest.approx(said[1], rel=1e-5)
    assert set(said[0]) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
