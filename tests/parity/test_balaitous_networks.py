"""The true ViT-L/16 on both sides, whole in width and depth, each read by its own side from the same files.

With PARITY_FULL=1, as `make parity` sets it, also on every slice of the real CT, and what bfloat16 costs there and over
several random networks.
"""

import os

import numpy as np
import pytest

from inference import compute
from inference.balaitous import preparation
from inference.balaitous.features import features
from inference.balaitous.regressions import load_regressions, scores
from inference.balaitous.windowing import windowed
from inference.compute import Limits, Precision
from inference.pipelines.balaitous import BLOCKS
from inference.weights import Shelf, manifest
from tests.parity import cases, ours, package
from tests.parity.evidence import rounded
from tests.parity.planting import fill_shelf, random_state
from tests.parity.steps import compare

SEEDS = (1, 2, 3, 4, 5)
SLICES = 4
AIM = 0.005

in_full = pytest.mark.skipif(os.environ.get("PARITY_FULL") != "1", reason="takes half an hour: make parity")


@pytest.fixture
def shelf_of(monkeypatch, tmp_path):
    """Install two networks with random weights; the file of the second holds blocks that are not used."""

    def fill(seed: int):
        states = {
            "balaitous-full": random_state(2 * seed, blocks=24),
            "balaitous-lung": random_state(2 * seed + 1, blocks=16, beyond=8),
        }
        fill_shelf(monkeypatch, tmp_path / f"weights-{seed}", states)
        return tmp_path / f"weights-{seed}"

    return fill


def test_both_networks_say_what_those_of_the_package_say(shelf_of, monkeypatch, tmp_path, evidence):
    # Two slices of lung and one below: one is kept, as many as two cores get through in seconds.
    case = cases.phantom("padded and cropped", tmp_path / "phantom", lungs=slice(28, 30))
    monkeypatch.setattr(preparation, "MIN_LUNG_SLICES", 3)
    shelf = shelf_of(1)
    theirs = in_package(case, shelf)
    recorded, _ = ours.run(monkeypatch, case.series, case.labels, shelf)
    assert recorded["kept slices"].shape[2] == 1
    differences = agreement(theirs, recorded)
    evidence.add("whole networks", "phantom, 1 slice kept", rounded(differences))


@in_full
@pytest.mark.timeout(7200)
def test_they_say_so_of_every_slice_of_a_real_ct(shelf_of, monkeypatch, real_ct, evidence):
    case, shelf = cases.real(real_ct), shelf_of(1)
    theirs = in_package(case, shelf)
    with monkeypatch.context() as patch:
        recorded, _ = ours.run(patch, case.series, case.labels, shelf)
    differences = agreement(theirs, recorded)
    kept = recorded["kept slices"].shape[2]
    evidence.add("whole networks", f"real CT, {kept} slices kept", rounded(differences))
    with monkeypatch.context() as patch:
        reduced, _ = ours.run(patch, case.series, case.labels, shelf, precision=Precision.BFLOAT16)
    cost = compare(recorded, reduced).differences
    assert cost["scores"] <= AIM
    said = {"COVID-19": 0, "severe outcome": 1}
    by_score = {name: abs(float(recorded["scores"][i] - reduced["scores"][i])) for name, i in said.items()}
    parts = ("features, full", "features, lung", "logits")
    evidence.add(
        "bfloat16 against float32", f"real CT, {kept} slices", rounded(by_score | {part: cost[part] for part in parts})
    )


@in_full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_bfloat16_costs_little_over_random_networks(seed, shelf_of, monkeypatch, evidence, real_ct):
    case, shelf = cases.real(real_ct), shelf_of(seed)
    with monkeypatch.context() as patch:
        scans = prepared(patch, case)
    exact, reduced = (
        few_slices(monkeypatch, shelf, scans, precision) for precision in (Precision.FLOAT32, Precision.BFLOAT16)
    )
    differences = {"COVID-19": abs(exact.covid - reduced.covid), "severe outcome": abs(exact.severe - reduced.severe)}
    assert max(differences.values()) <= AIM
    evidence.add("bfloat16 against float32", f"real CT, {SLICES} slices, seed {seed}", rounded(differences))


def agreement(theirs, recorded):
    compared = compare(theirs, recorded)
    assert compared.departures == [], compared.differences
    assert np.abs(theirs["logits"]).max() < 4
    return compared.differences


def in_package(case, shelf):
    files = {slot.file: shelf / slot.file for slot in manifest.SLOTS.values() if "balaitous" in slot.required_by}
    with pytest.MonkeyPatch.context() as patch:
        steps = package.from_files(patch, files)
        return package.run(patch, steps, package.read(case.folder, case.header), case.labels)


def prepared(monkeypatch, case):
    """Return what the networks are shown of a case, a few slices spread over the lungs."""
    found = preparation.prepare(ours.planted_ct(monkeypatch, case.series, case.labels))
    images = {"full": windowed(found.full), "lung": windowed(found.lung)}
    chosen = np.linspace(0, found.slices - 1, SLICES).round().astype(int)
    return {view: image[chosen] for view, image in images.items()}


def few_slices(monkeypatch, shelf, images, precision):
    monkeypatch.setattr(compute, "_limits", Limits(precision=precision, models_mb=1))
    found = Shelf(shelf).require_for("balaitous")
    said = {
        view: features(image, found[f"balaitous-{view}"], blocks=BLOCKS[view], device="cpu").values
        for view, image in images.items()
    }
    return scores(load_regressions(found["balaitous-heads"]), said, (0.45, 0.0))
