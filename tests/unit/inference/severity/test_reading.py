"""What a network's logits become, and what is said of several networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference import compute, resident
from inference.grad_cam import grad_cam
from inference.networks.i3d import I3D
from inference.networks.ltc import LTC
from inference.severity.reading import read
from inference.severity.statements import Said, disagreement, headlines, of_each, other_levels, voices
from inference.weights import Shelf, WrongWeightsError
from tests.severity import I3D_SEED, I3D_SLOT, LTC_SEED, LTC_SLOT, fill_shelf, random_network


@pytest.fixture(autouse=True)
def no_network_stays():
    yield
    resident.release_all()


@pytest.fixture
def found(tmp_path, monkeypatch):
    fill_shelf(monkeypatch, tmp_path)
    return Shelf(tmp_path).require(LTC_SLOT, I3D_SLOT)


@pytest.fixture
def looked_at(prepared):
    whole = prepared((30, 60, 70))
    values = np.random.default_rng(1).random(whole.volume.shape, dtype=np.float32)
    return replace(whole, volume=values)


@pytest.mark.parametrize(("slot", "make", "seed"), [(LTC_SLOT, LTC, LTC_SEED), (I3D_SLOT, I3D, I3D_SEED)])
def test_a_reading_is_what_the_network_says_of_the_resized_volume(slot, make, seed, found, looked_at):
    network = random_network(make, seed)
    volume = torch.from_numpy(looked_at.resized(network.size))[None, None]
    block = network.trunk(volume).requires_grad_()
    said = network.heads(block)
    reading = read(looked_at, found[slot], device="cpu")
    np.testing.assert_allclose(reading.levels, said.levels[0].softmax(0).detach(), rtol=1e-5)
    assert reading.covid == pytest.approx(said.covid.sigmoid().item(), rel=1e-5)
    assert reading.levels.sum() == pytest.approx(1)
    assert reading.size == network.size
    attention = grad_cam(block, said.levels.max(dim=1).values)[0].numpy()
    if attention.max() > 0:
        np.testing.assert_allclose(reading.attention.values, attention / attention.max(), atol=1e-5)
        assert reading.attention.on_grid(looked_at).shape == looked_at.shape
    else:
        assert reading.attention is None


def test_the_trunk_is_computed_once_and_networks_stay_loaded(found, looked_at, monkeypatch):
    passes, loads = [], []
    trunk, like = I3D.trunk, I3D.like
    monkeypatch.setattr(I3D, "trunk", lambda self, volumes: passes.append(1) or trunk(self, volumes))
    monkeypatch.setattr("inference.severity.reading._LIKE", {I3D_SLOT: lambda s: loads.append(1) or like(s)})
    first, second = (read(looked_at, found[I3D_SLOT], device="cpu") for _ in range(2))
    assert (len(passes), len(loads)) == (2, 1)
    np.testing.assert_array_equal(first.levels, second.levels)
    np.testing.assert_array_equal(first.attention.values, second.attention.values)


def test_a_map_without_anything_above_0_is_none(found, looked_at):
    state = random_network(LTC, 1).state_dict()
    state["levels.weight"].zero_()
    torch.save(state, found[LTC_SLOT].path)
    reading = read(looked_at, found[LTC_SLOT], device="cpu")
    assert reading.attention is None
    assert reading.levels.argmax() == state["levels.bias"].argmax()


def test_on_a_cpu_a_network_is_computed_in_float32_unless_bfloat16_is_asked_for(found, looked_at, monkeypatch):
    monkeypatch.setattr(compute, "_has_bfloat16_units", lambda _: True)
    exact = read(looked_at, found[I3D_SLOT], device="cpu")
    monkeypatch.setattr(compute, "_limits", compute.Limits(precision=compute.Precision.BFLOAT16))
    rough = read(looked_at, found[I3D_SLOT], device="cpu")
    assert (exact.parameters["precision"], rough.parameters["precision"]) == ("float32", "bfloat16")
    np.testing.assert_allclose(rough.levels, exact.levels, atol=0.1)
    assert np.any(rough.levels != exact.levels)


def test_outputs_that_a_site_trained_in_another_order_are_put_right(tmp_path, monkeypatch, looked_at, found):
    other = tmp_path / "other"
    fill_shelf(monkeypatch, other, outputs=("level 3", "level 1", "level 5", "level 2", "level 4"))
    turned = read(looked_at, Shelf(other).require(LTC_SLOT)[LTC_SLOT], device="cpu")
    straight = read(looked_at, found[LTC_SLOT], device="cpu")
    np.testing.assert_array_equal(turned.levels, straight.levels[[1, 3, 0, 4, 2]])


def test_outputs_that_are_no_levels_are_refused(tmp_path, monkeypatch, looked_at):
    fill_shelf(monkeypatch, tmp_path, outputs=("mild", "level 1", "level 2", "level 3", "level 4"))
    with pytest.raises(WrongWeightsError, match="mild, level 1"):
        read(looked_at, Shelf(tmp_path).require(LTC_SLOT)[LTC_SLOT], device="cpu")


def said(name, levels, covid=0.5):
    return Said(code=name, name=name, levels=np.array(levels), covid=covid)


@pytest.fixture
def three(found, looked_at):
    readings = {
        name: read(looked_at, found[slot], device="cpu") for name, slot in (("LTC", LTC_SLOT), ("I3D", I3D_SLOT))
    }
    made = [
        replace(readings["LTC"], levels=np.array([0.1, 0.2, 0.3, 0.3, 0.1]), covid=0.9),
        replace(readings["I3D"], levels=np.array([0.5, 0.0, 0.1, 0.4, 0.0]), covid=0.6),
    ]
    return voices(dict(zip(readings, made, strict=True)))


def test_the_mean_is_that_of_the_shares_and_has_a_level_of_its_own(three):
    mean, ltc, i3d = three
    np.testing.assert_allclose(mean.levels, [0.3, 0.1, 0.2, 0.35, 0.05])
    assert mean.covid == pytest.approx(0.75)
    assert (mean.level, ltc.level, i3d.level) == (4, 3, 1)  # of equal shares the lower level


def test_every_number_is_said_once_and_the_headline_first(three):
    measured = [*headlines(three[0]), *of_each(*three[1:], slices=42), *other_levels(*three)]
    assert [(m.concept.meaning, round(m.value, 6)) for m in measured[:6]] == [
        ("Severity level 4 of 5, mean, uncalibrated", 35.0),
        ("COVID-19 score, mean, uncalibrated", 75.0),
        ("Severity level 3 of 5, LTC, uncalibrated", 30.0),
        ("Severity level 1 of 5, I3D, uncalibrated", 50.0),
        ("Slices of 5 mm used", 42.0),
        ("COVID-19 score, LTC, uncalibrated", 90.0),
    ]
    codes = [m.concept.value for m in measured]
    assert len(codes) == len(set(codes)) == 19
    assert all(len(m.concept.meaning) <= 64 and len(m.concept.value) <= 16 for m in measured)


def test_an_answer_names_the_level_and_claims_no_certainty(three):
    answer = three[0].answer
    assert (answer.concept.meaning, answer.value.meaning) == ("Severity, mean", "Level 4 of 5")
    assert answer.confidence is None


def test_networks_that_are_two_levels_apart_are_told_of():
    low, near, far = (said(name, np.eye(5)[place]) for name, place in (("LTC", 0), ("I3D", 1), ("I3D", 2)))
    assert disagreement(low, near) == ()
    (warning,) = disagreement(low, far)
    assert warning == "The networks disagree, and their mean says little: LTC says level 1, I3D says level 3."


def test_heads_are_computed_in_float32_whatever_the_trunk_is(found, looked_at, monkeypatch):
    monkeypatch.setattr(
        I3D, "trunk", lambda _, volumes: volumes.mean() + torch.linspace(0, 1, 64 * 4).view(1, 64, 2, 1, 2)
    )
    exact = read(looked_at, found[I3D_SLOT], device="cpu")
    monkeypatch.setattr(compute, "_limits", compute.Limits(precision=compute.Precision.BFLOAT16))
    np.testing.assert_allclose(read(looked_at, found[I3D_SLOT], device="cpu").levels, exact.levels, rtol=1e-5)
