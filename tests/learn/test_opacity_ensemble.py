"""The segmenters of `opacity-ensemble` learn from phantoms, and the whole pipeline finds opacity in unseen patients.

Each goes the way of a site's own weights: an annotated folder, `training.opacity_ensemble`, for three of them nnU-Net's
own planner and trainer, `models add`, the shelf, the registry. They are narrow, and learn for seconds (`make test`) or
minutes (`make learn`). Classifier and lungs are made by hand: the classifier says nothing either way.
"""

import time
from dataclasses import dataclass

import numpy as np
import pytest

from inference import compute, radiograph, registry
from inference.findings import Purpose
from inference.networks import convnext_fpn
from inference.networks.convnext_fpn import ConvNeXtFPN, Widths
from inference.weights import manifest
from node.installation import Installation
from phantom.cxr_dicom import turned
from tests.learn import evidence
from tests.learn.opacity_phantoms import chest, write_annotated, write_dicom
from tests.narrow_ensemble import Ensemble
from tests.nnunet_folders import Course, cached
from training.lung_fields.judging import dice
from training.opacity_ensemble.fitting import Recipe
from training.opacity_ensemble.images import read
from training.opacity_ensemble.recipe import DATASETS, NAME, digest_of, make, write_datasets

_NARROW = Widths(blocks=(1, 1, 2, 1), channels=(16, 32, 64, 128), pyramid=32, head=32)
_PITCHES = {"nnunet-336": 3.0, "nnunet-768": 7.0, "refine": 2.0}
_SLOTS = {name: f"opacity-ensemble-{name if name != 'refine' else 'nnunet-refine'}" for name in DATASETS}
_UNDECIDED = -1.373
"""Logit that torchxrayvision's operating point turns into 0.5."""
_HELD_OUT = 1000
_SHAPES = ((384, 384), (460, 384), (352, 400))
_LIES = (("L", "F"), ("R", "F"), ("F", "L"))


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is learnt, from how many, and asked of how many."""

    images: int
    nnunet_epochs: int
    coarser: float
    convnext_epochs: int
    found: int
    clear: int
    least_dice: float
    least_of_experts: float


SIZE = (
    Size(
        images=56,
        nnunet_epochs=12,
        coarser=1.0,
        convnext_epochs=30,
        found=6,
        clear=3,
        least_dice=0.7,
        least_of_experts=0.6,
    )
    if evidence.FULL
    else Size(
        images=16,
        nnunet_epochs=6,
        coarser=2.0,
        convnext_epochs=20,
        found=2,
        clear=0,
        least_dice=0.35,
        least_of_experts=0.15,
    )
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    write_annotated(folder, range(1, SIZE.images + 1))
    return list(read(folder))


@pytest.fixture(scope="module")
def seconds():
    """What training took."""
    return {}


@pytest.fixture(scope="module")
def nnunets(images, pytestconfig, seconds):
    courses = {
        DATASETS[name]: Course(epochs=SIZE.nnunet_epochs, iterations=25, pitch=pitch * SIZE.coarser)
        for name, pitch in _PITCHES.items()
    }
    cache = pytestconfig.cache.mkdir("nnunet")
    made = cached(cache, courses, digest_of(images), lambda raw: write_datasets(images, raw))
    seconds["nnunets"] = made.seconds
    return {_SLOTS[name]: made.folders[dataset] for name, dataset in DATASETS.items()}


@pytest.fixture(scope="module")
def convnext(images, tmp_path_factory, seconds):
    began = time.monotonic()
    out = tmp_path_factory.mktemp("convnext")
    make(images, out, Recipe(epochs=SIZE.convnext_epochs, batch=4, learning_rate=3e-3, widths=_NARROW))
    seconds["convnext"] = round(time.monotonic() - began)
    return out / f"{NAME}.safetensors"


@pytest.fixture
def ensemble(convnext, nnunets, tmp_path, monkeypatch):
    """The pipeline, as the registry makes it of a weights folder."""
    made = Ensemble(tmp_path, opacity_score=_UNDECIDED)
    weights = made.stand_in(monkeypatch)
    monkeypatch.setattr(convnext_fpn, "ConvNeXtFPN", ConvNeXtFPN)
    monkeypatch.setattr(convnext_fpn, "TINY", _NARROW)
    for slot, path in {NAME: convnext, **nnunets}.items():
        Installation(weights).add(manifest.SLOTS[slot], path)
    return registry.load("opacity-ensemble", weights=weights)


@pytest.mark.timeout(1200)  # what it learns is learnt in its fixtures
def test_opacity_is_found_in_patients_that_no_network_has_seen(ensemble, tmp_path, seconds):
    scores, overlaps, false, decisions = {}, [], [], []
    for number in range(SIZE.found + SIZE.clear):
        has_opacity, lie = number < SIZE.found, _LIES[number % len(_LIES)]
        phantom = chest(_HELD_OUT + number, _SHAPES[number % len(_SHAPES)], opacity=has_opacity)
        image = radiograph.load(write_dicom(tmp_path / f"{number}.dcm", phantom, lie))
        findings = ensemble(image, "cpu")
        decisions.append((has_opacity, _is_positive(findings)))
        if not has_opacity:
            false.append(_marked(findings).mean())
            continue
        truth = turned(phantom.opacity, lie)
        overlaps.append(dice(_marked(findings), truth))
        for name, values in ensemble.experts(image, "cpu").items():
            scores.setdefault(name, []).append(dice(values >= 0.5, truth))
    of_experts = {name: _rounded(np.mean(values)) for name, values in scores.items()}
    measured = {
        "trained_on_images": SIZE.images,
        "training_seconds": dict(seconds),
        "held_out": {"with_opacity": SIZE.found, "without": SIZE.clear},
        "dice": {"mean": _rounded(np.mean(overlaps)), "least": _rounded(min(overlaps))},
        "dice_of_each_expert": of_experts,
        "decided_rightly": {
            "with_opacity": sum(said for truth, said in decisions if truth),
            "without": sum(not said for truth, said in decisions if not truth),
        },
        "marked_of_images_without": _rounded(np.mean(false)) if false else None,
        "precision": str(compute.dtype_on("cpu")).removeprefix("torch."),
    }
    evidence.write("opacity-ensemble", measured)
    print(measured)  # noqa: T201 - what `make learn ARGS=-s` shows
    assert np.mean(overlaps) >= SIZE.least_dice, measured
    assert min(of_experts.values()) >= SIZE.least_of_experts, measured
    assert all(said for truth, said in decisions if truth), measured


def _is_positive(findings):
    (decision,) = findings.categories
    return decision.value.meaning == "Positive"


def _marked(findings):
    masks = [region.mask[0] for region in findings.regions if region.purpose is Purpose.OPACITY]
    return np.any(masks, axis=0)


def _rounded(value):
    return round(float(value), 3)
