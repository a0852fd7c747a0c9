"""The recipes of `opacity-explain`: numbers and truth of the source, parts in their order, encoders that stay."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from inference.networks.encoders import Backbone, channels, encoder
from inference.networks.map_decoder import MapDecoder
from inference.opacity_explain import views as pipeline_views
from inference.opacity_explain.decisions import Side
from inference.opacity_explain.views import lung_box, lung_view, whole_view
from inference.weights import MissingWeightsError
from node.cli import app
from tests.unit.training.opacity_explain.conftest import SHAPE, lungs_of, opacity_of
from training.errors import TrainingError
from training.images.annotated import read
from training.images.labelled import LabelledImage
from training.images.readable import readable
from training.loop.task import Start
from training.opacity_explain import recipe
from training.opacity_explain.lungs import Segmenter, drawn, outlined
from training.opacity_explain.numbers import Kind, Numbers, Part, parts, published
from training.opacity_explain.recipe import How, Sources, Widths
from training.opacity_explain.tasks import Made, MapTask, RegressorTask, dice_loss, rate_at
from training.opacity_explain.views import Xray, of_lung, varied_more, whole

NARROW = Widths(
    encoders={Backbone.B4: "test_efficientnet", Backbone.CONVNEXT: "test_convnext"},
    lungs="test_efficientnet",
    lungs_decoder=(16, 8, 8, 8, 8),
)
QUICK = How(changed={"epochs": 1, "batch": 2, "learning_rate": 1e-3}, common={"folds": 2}, widths=NARROW)
LUNGS, CLASSIFIER, REGRESSOR, MAP = (
    Part(kind=Kind.LUNGS),
    Part(kind=Kind.CLASSIFIER, backbone=Backbone.CONVNEXT),
    Part(kind=Kind.REGRESSOR, side=Side.RIGHT, backbone=Backbone.CONVNEXT),
    Part(kind=Kind.MAP, side=Side.RIGHT, backbone=Backbone.CONVNEXT),
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pipeline_views, "WHOLE", (64, 64))
    monkeypatch.setattr(pipeline_views, "LUNG", (64, 32))


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """The lungs, a regressor, and the map that is decoded from its encoder."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_views, "WHOLE", (64, 64))
        patch.setattr(pipeline_views, "LUNG", (64, 32))
        sources = Sources(data=folder, out=out, weights=out / "weights", is_imagenet=False)
        cards = recipe.make(sources, [LUNGS, REGRESSOR, MAP], QUICK)
    return out, {card["slot"]: card for card in cards}


def test_the_numbers_are_those_of_the_sources_table():
    table = {part.slot: published(part) for part in parts()}
    assert len(table) == 13
    classifier, regressor = table["opacity-explain-classifier-b4"], table["opacity-explain-regressor-left-b4"]
    assert classifier == Numbers(learning_rate=1e-5, decay=0.5, epochs=20, batch=32)
    assert regressor == Numbers(learning_rate=5e-5, decay=0.75, epochs=25, batch=50)
    assert table["opacity-explain-map-b4"] == Numbers(
        learning_rate=1e-4, decay=0.75, epochs=30, batch=32, is_varied_more=True
    )
    assert not table["opacity-explain-map-left-b4"].is_varied_more
    assert table["opacity-explain-lungs"] == Numbers(learning_rate=1e-4, is_annealed=False, epochs=100, batch=32)
    assert {numbers.degrees for numbers in table.values()} == {15.0}


def test_the_rate_falls_along_a_cosine_within_an_epoch_and_begins_the_next_lower():
    numbers = Numbers(learning_rate=1.0, decay=0.5, epochs=3, batch=1)
    assert [round(rate_at(numbers, 4, step), 4) for step in (0, 2, 3, 4, 8)] == [1.0, 0.5, 0.1464, 0.5, 0.25]
    still = Numbers(learning_rate=1.0, is_annealed=False, epochs=3, batch=1)
    assert {rate_at(still, 4, step) for step in range(12)} == {1.0}


def test_every_part_comes_after_the_one_whose_encoder_it_decodes():
    order = [part.slot for part in parts()]
    maps = [part for part in parts() if part.kind is Kind.MAP]
    assert all(order.index(part.encoder.slot) < order.index(part.slot) for part in maps)
    assert MAP.encoder == REGRESSOR


def test_the_truth_is_what_lies_in_the_lungs_on_the_views_of_the_pipeline(folder):
    image = next(image for image in read(folder).usable if image.name == "image1")
    (one,) = drawn([image], folder)
    read_image = one.read(0.0)
    right, left = lungs_of(1)
    opacity = opacity_of(1)
    seen = whole(read_image)
    assert (seen.view == whole_view(read_image.pixels)).all()
    assert seen.opacity.shape == (32, 32)
    assert seen.extent == pytest.approx((opacity & (right | left)).sum() / (right | left).sum())
    lung = of_lung(read_image, Side.RIGHT)
    box = lung_box(right)
    assert (lung.view == lung_view(read_image.pixels, box)).all()
    assert lung.opacity.shape == (32, 16)
    assert lung.extent == pytest.approx((opacity & right).sum() / right.sum())
    assert lung.opacity.mean() == pytest.approx((opacity & right)[box].mean(), abs=0.01)
    assert of_lung(read_image, Side.LEFT).extent == 0


def test_an_image_and_its_masks_are_turned_together_and_within_the_limit(folder):
    (one,) = drawn(read(folder).usable[:1], folder)
    right, _ = lungs_of(0)
    turns = set()
    for seed in range(4):
        torch.manual_seed(seed)
        turned = one.read(15.0)
        dark = turned.pixels < 0.45
        inside = np.logical_or.reduce(turned.others) & ~turned.opacity
        assert dark[inside].mean() > 0.95
        turns.add(int((turned.others[0] ^ right).sum()))
    assert len(turns) == 4
    assert max(turns) < right.sum() / 2


def test_what_is_varied_more_keeps_opacity_where_it_is_bright(folder):
    (one,) = drawn(read(folder).usable[:1], folder)
    seen = whole(one.read(0.0))
    torch.manual_seed(1)
    varied = varied_more(seen)
    assert varied.view.shape == seen.view.shape
    assert varied.opacity.shape == seen.opacity.shape
    assert not (varied.view == seen.view).all()
    assert -1 <= varied.view.min() < varied.view.max() <= 1


def test_losses_are_the_sources(folder):
    made_of = Made(numbers=published(REGRESSOR), architecture="test_convnext", start=Start(), place=folder, data={})
    task = RegressorTask(REGRESSOR, made_of, [])
    said = torch.tensor([[0.5], [0.0]])
    loss = task.losses(lambda _: said, (torch.zeros(2, 1, 64, 32), torch.tensor([0.1, 0.2])))["loss"]
    assert float(loss) == pytest.approx(((0.16 + 0.04) / 2 + (0.4 + 0.2) / 2) / 2)
    truth = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert float(dice_loss(truth, truth)) == pytest.approx(0)
    assert float(dice_loss(1 - truth, truth)) == pytest.approx(1 - 1 / 5)


def test_a_new_head_says_little_at_first(folder):
    """timm draws EfficientNet's head so large that extents would begin far outside of 0 to 1."""
    made_of = Made(numbers=published(REGRESSOR), architecture="test_efficientnet", start=Start(), place=folder, data={})
    torch.manual_seed(2)
    head = RegressorTask(REGRESSOR, made_of, []).network().get_classifier()
    assert float(head.weight.detach().abs().max()) <= head.in_features**-0.5


def test_of_a_map_the_encoder_is_frozen_and_the_decoder_learnt(folder):
    made_of = Made(numbers=published(MAP), architecture="test_convnext", start=Start(), place=folder, data={})
    task = MapTask(MAP, made_of, [])
    network = task.network()
    assert task.frozen(network) == [network.encoder]
    assert task.learnt(network) is network.decoder


def test_a_decoder_learns_while_its_encoder_stays_and_its_file_holds_nothing_of_it(made):
    out, cards = made
    decoder = MapDecoder(channels("test_convnext"))
    decoder.load_state_dict(load_file(out / f"{MAP.slot}.safetensors"))
    assert cards[MAP.slot]["start"] == f"{REGRESSOR.slot}, sha256 {cards[REGRESSOR.slot]['sha256']}"
    regressor = encoder("test_convnext")
    regressor.load_state_dict(load_file(out / f"{REGRESSOR.slot}.safetensors"))


def test_maps_and_regressors_learn_from_images_with_opacity_alone_and_lungs_from_those_that_are_drawn(made):
    _, cards = made
    counts = {
        slot: [card["data"][part]["images"] for part in ("learnt_from", "held_out")] for slot, card in cards.items()
    }
    assert sum(counts[LUNGS.slot]) == 5
    assert sum(counts[REGRESSOR.slot]) == sum(counts[MAP.slot]) == 4
    assert cards[MAP.slot]["data"]["by_finding"] == {"no opacity": 2, "opacity": 4}
    assert any("images with opacity alone" in limit for limit in cards[MAP.slot]["limits"])
    assert any("this project's reading" in limit for limit in cards[REGRESSOR.slot]["limits"])


def test_the_report_of_each_part_has_its_own_measure(made):
    _, cards = made
    assert cards[REGRESSOR.slot]["held_out_fold"]["amounts"]["error"]["images"] >= 1
    assert set(cards[MAP.slot]["held_out_fold"]["regions"]) == {"opacity"}
    assert cards[MAP.slot]["held_out_fold"]["map_loss"]["value"] > 0
    assert set(cards[LUNGS.slot]["held_out_fold"]["regions"]) == {"right lung", "left lung"}


def test_a_classifier_learns_from_all_images_and_tells_the_threshold_of_true_negatives(folder, tmp_path):
    sources = Sources(data=folder, out=tmp_path, weights=tmp_path / "weights", is_imagenet=False)
    (card,) = recipe.make(sources, [CLASSIFIER], QUICK)
    assert card["data"]["images"] == 6
    row = json.loads((tmp_path / f"{CLASSIFIER.slot}-report" / "evaluation.json").read_text())["rows"]
    clear = [one["score"] for one in row if one["label"] == 0]
    assert card["threshold_at_99_percent_true_negatives"] == (pytest.approx(max(clear)) if clear else None)


def test_lungs_that_nobody_drew_are_outlined_once_on_the_stored_pixels(folder, tmp_path):
    class Left(torch.nn.Module):
        calls = 0

        def forward(self, images):
            Left.calls += 1
            logits = torch.full((1, 2, *images.shape[-2:]), -9.0)
            logits[:, 0, :, : images.shape[-1] // 4] = 9.0
            return logits

    image = read(folder).usable[5]
    segmenter = Segmenter(network=Left(), sha256="ab" * 32, device="cpu")
    (one,) = outlined([image], segmenter, tmp_path)
    right = np.asarray(Image.open(one.lungs[0]))
    assert right.shape == SHAPE
    assert right[:, : SHAPE[1] // 4 - 1].all()
    assert not right[:, SHAPE[1] // 4 + 1 :].any()
    assert not np.asarray(Image.open(one.lungs[1])).any()
    outlined([image], segmenter, tmp_path)
    assert Left.calls == 1


def test_other_lungs_are_other_examples(folder, tmp_path):
    (one,) = drawn(read(folder).usable[:1], folder)
    path = tmp_path / "right.png"
    Image.new("L", SHAPE[::-1], 255).save(path)
    assert Xray(image=one.image, lungs=(path, one.lungs[1])).digest != one.digest


def test_what_another_part_makes_is_asked_for_where_it_is_missing(folder, tmp_path):
    with pytest.raises(MissingWeightsError, match=REGRESSOR.slot):
        recipe.make(Sources(data=folder, out=tmp_path / "out", weights=tmp_path), [MAP], QUICK)
    with pytest.raises(MissingWeightsError, match="convnext-tiny-imagenet"):
        recipe.make(Sources(data=folder, out=tmp_path / "out", weights=tmp_path), [CLASSIFIER], QUICK)
    bare = tmp_path / "bare"
    for part in ("images", "masks"):
        shutil.copytree(folder / part, bare / part)
    with pytest.raises(TrainingError, match="draw both lungs on some"):
        recipe.make(Sources(data=bare, out=tmp_path / "out", weights=tmp_path), [LUNGS], QUICK)


def test_what_cannot_be_read_is_left_out_and_named_and_not_asked_again(folder, tmp_path, monkeypatch):
    for part in ("images", "masks"):
        shutil.copytree(folder / part, tmp_path / part)
    Image.new("L", (9, 9)).save(tmp_path / "masks" / "image3.png")
    images = readable(read(tmp_path), tmp_path / "kept.json")
    assert [image.name for image in images.usable] == ["image0", "image1", "image2", "image4", "image5"]
    (problem,) = images.left_out
    assert (problem.file, problem.row) == ("image3.png", None)
    assert "has 9 x 9 pixels, and its image 96 x 112" in problem.why
    monkeypatch.setattr(LabelledImage, "read", None)
    assert readable(read(tmp_path), tmp_path / "kept.json") == images


def test_the_command_makes_the_parts_that_were_named_by_the_numbers_that_were_given(folder, tmp_path, monkeypatch):
    asked = []

    def make(sources, chosen, how):
        asked.append((sources, [part.slot for part in chosen], how))
        return []

    monkeypatch.setattr(recipe, "make", make)
    command = ["train", "opacity-explain", "--data", folder, "--out", tmp_path, "--weights", tmp_path, "--fold", "3"]
    for more in (["--part", "map-left"], ["--part", "classifier", "--backbone", "b4", "--epochs", "2"], []):
        done = CliRunner().invoke(app, list(map(str, [*command, *more])))
        assert done.exit_code == 0, done.output
    one, two, every = asked
    assert one[1] == ["opacity-explain-map-left-b4", "opacity-explain-map-left-convnext"]
    assert (two[1], two[2].changed) == (["opacity-explain-classifier-b4"], {"epochs": 2})
    assert every[1] == [part.slot for part in parts()]
    assert (every[2].changed, every[2].common["fold"], every[0].is_imagenet) == ({}, 3, True)


def test_the_command_says_in_one_line_what_to_change(folder, tmp_path):
    command = ["train", "opacity-explain", "--data", folder, "--out", tmp_path, "--weights", tmp_path / "none"]
    for more, said in (
        (["--part", "classifier"], "opacity-node models fetch efficientnet-b4-imagenet"),
        (["--part", "lungs", "--batch", "9"], "a batch of 9 needs as many to learn from"),
        (["--part", "lungs", "--folds", "9"], "9 folds need as many"),
        (["--part", "lungs", "--precision", "16-mixed"], "16-mixed needs a GPU"),
    ):
        done = CliRunner().invoke(app, list(map(str, [*command, *more])))
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_without_lightning_the_command_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("node.cli.training.find_spec", lambda _: None)
    done = CliRunner().invoke(app, ["train", "opacity-explain", "--data", str(folder), "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "install opacity-node[train]" in done.stderr
