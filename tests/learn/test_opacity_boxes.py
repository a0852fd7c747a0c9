"""Faster R-CNN learns from phantoms, and the pipeline boxes opacity in unseen patients: where, how large, of what.

It goes the way of a site: a folder as Kaggle distributes SIIM-FISABIO-RSNA, the recipe, ``models add``, ``evaluate``.
It is narrow, starts from nothing, and learns for seconds (`make test`) or minutes (`make learn`). Boxes that are
mirrored or shifted must fail the same judgement.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.boxes import Box
from inference import compute, resident
from inference.networks import faster_rcnn
from inference.networks.faster_rcnn import Widths
from inference.opacity_boxes.choice import overlap
from inference.opacity_boxes.prepared import Prepared
from inference.upright import Rectangle
from node.cli import app
from tests.learn import evidence
from tests.learn.boxed_phantoms import boxed, write_siim, write_truth
from tests.learn.shelves import install
from training.opacity_boxes.recipe import How, Sources, make

_HELD_OUT = 1000
_SHAPES = ((256, 256), (320, 264), (260, 300))
_LIES = (("L", "F"), ("R", "F"), ("F", "L"))


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is learnt, from how many, asked of how many; and what must come out at least."""

    images: int
    epochs: int
    side: int
    narrower: int
    held_out: int
    threshold: float
    precision: float
    classes: float
    areas: tuple[float, float]
    healthy: float


SIZE = (
    Size(
        images=120,
        epochs=40,
        side=144,
        narrower=4,
        held_out=24,
        threshold=0.5,
        precision=0.7,
        classes=0.9,
        areas=(0.85, 1.15),
        healthy=0.9,
    )
    if evidence.FULL
    else Size(
        images=24,
        epochs=36,
        side=96,
        narrower=8,
        held_out=8,
        threshold=0.05,
        precision=0.2,
        classes=0.5,
        areas=(0.5, 2.0),
        healthy=0.6,
    )
)
_NARROW = Widths(
    blocks=(1, 1, 1, 1),
    narrower=SIZE.narrower,
    pyramid=64,
    head=128,
    anchors=(SIZE.side // 16, SIZE.side // 8, SIZE.side // 5, SIZE.side // 3, SIZE.side // 2),
    shorter=SIZE.side,
    longer=SIZE.side * 8 // 5,
    proposals=(64, 64),
    sampled=(64, 32),
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights folder with what was learnt, and the recipe's card."""
    folder = tmp_path_factory.mktemp("boxes")
    write_siim(folder / "data", [boxed(seed) for seed in range(1, SIZE.images + 1)])
    changed = {
        "epochs": SIZE.epochs,
        "batch": 4,
        "learning_rate": 0.02,  # from nothing; from COCO the source's
        "one_cycle": True,
        "steepest": 10.0,
    }
    sources = Sources(data=folder / "data", out=folder / "out", weights=None)
    card = make(sources, How(changed=changed, common={"folds": 0}, widths=_NARROW))
    install("opacity-boxes", folder / "out" / card["file"], folder / "weights")
    return folder / "weights", card


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    images = [
        boxed(_HELD_OUT + number, _SHAPES[number % len(_SHAPES)], _LIES[number % len(_LIES)])
        for number in range(SIZE.held_out)
    ]
    for one in images:
        one.write(folder / "images" / f"{one.name}.dcm")
    write_truth(folder / "truth.csv", images)
    return folder


@pytest.fixture
def judged(weights, held_out, tmp_path, monkeypatch):
    """Run ``opacity-node evaluate``; return the parts of its record that are judged here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(faster_rcnn, "R50", _NARROW)
    resident.release_all()
    (tmp_path / "config.toml").write_text(f"[pipelines.opacity-boxes]\nthreshold = {SIZE.threshold}\n")

    def run():
        arguments = ["--images", held_out / "images", "--truth", held_out / "truth.csv", "--weights", weights[0]]
        given = [str(one) for one in (*arguments, "--iou", "0.5", "--pictures", "0", "--json")]
        done = CliRunner().invoke(app, ["evaluate", "--pipeline", "opacity-boxes", *given])
        assert done.exit_code == 0, done.output
        return measured(json.loads(done.stdout))

    yield run
    resident.release_all()


def measured(record):
    (precision,) = record["results"]["box_precision"]
    rows = [row for row in record["rows"] if row["boxes"]]
    nearest = [_nearest(Box(**row["boxes"][0]), [Box(**box) for box in row["found_boxes"]]) for row in rows]
    found = [(true, box) for true, box in zip((Box(**row["boxes"][0]) for row in rows), nearest, strict=True) if box]
    areas = [box.width * box.height / (true.width * true.height) for true, box in found]
    score = record["results"]["score"]
    return {
        "average_precision": _rounded(precision["any_class"]),
        "by_class": {name: _rounded(value) for name, value in precision["by_class"].items()},
        "found": len(found),
        "of": len(rows),
        "class_right": _rounded(np.mean([true.name == box.name for true, box in found]) if found else 0),
        "area_to_true": _rounded(np.median(areas) if areas else 0),
        "auc_not_healthy": _rounded(score["roc"]["area"]["value"]),
    }


def _nearest(true, boxes):
    """Return the box with most overlap, if it is half at least."""
    best = max(boxes, key=lambda box: overlap(_place(true), _place(box)), default=None)
    return best if best and overlap(_place(true), _place(best)) >= 0.5 else None


def _place(box):
    return Rectangle(left=box.x, top=box.y, right=box.x + box.width, bottom=box.y + box.height)


def failings(said):
    """Return what of a judgement is not as good as it must be."""
    low, high = SIZE.areas
    wrong = {
        "place": said["average_precision"] < SIZE.precision,
        "extent": not low <= said["area_to_true"] <= high,
        "class": said["class_right"] < SIZE.classes,
        "healthy": said["auc_not_healthy"] < SIZE.healthy,
    }
    return [name for name, is_wrong in wrong.items() if is_wrong]


@pytest.mark.timeout(1200)  # what it learns is learnt in its fixtures
def test_opacity_is_boxed_in_patients_that_the_network_has_not_seen(weights, judged):
    said = judged()
    card = weights[1]
    evidence.write(
        "opacity-boxes",
        {
            "trained_on_images": SIZE.images,
            "training_cpu_minutes": card["cpu_minutes"],
            "held_out": {"images": SIZE.held_out, "threshold": SIZE.threshold},
            **said,
            "precision": str(compute.dtype_on("cpu")).removeprefix("torch."),
        },
    )
    print(said, card["cpu_minutes"])  # noqa: T201 - what `make learn ARGS=-s` shows
    assert failings(said) == [], said


def mirrored(shown, box):
    """Forget that columns run the other way on the image."""
    width = shown.crop[1].stop - shown.crop[1].start
    right = _to_image(shown, box)
    left = shown.crop[1].start
    return replace(right, left=2 * left + width - right.right, right=2 * left + width - right.left)


def shifted(shown, box):
    """Forget where the image was cut, and a little more."""
    right = _to_image(shown, box)
    down, across = (side.stop - side.start for side in shown.crop)
    return Rectangle(
        left=right.left + across / 5,
        top=right.top + down / 5,
        right=right.right + across / 5,
        bottom=right.bottom + down / 5,
    )


_to_image = Prepared.to_image


@pytest.mark.parametrize("wrong", [mirrored, shifted])
def test_boxes_in_the_wrong_place_fail_the_same_judgement(judged, monkeypatch, wrong):
    monkeypatch.setattr(Prepared, "to_image", wrong)
    assert "place" in failings(judged())


def _rounded(value):
    return round(float(value), 3)
