import pytest
import torch

from inference import compute, resident
from inference.compute import Limits


@pytest.fixture(autouse=True)
def nothing_loaded():
    resident.release_all()
    yield
    resident.release_all()
    compute.set_limits(Limits())


class Maker:
    """Makes networks of one megabyte and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> torch.nn.Module:
        self.made += 1
        return torch.nn.Linear(500, 500, bias=False)


def test_a_network_is_made_once_for_each_key_and_is_ready_for_inference():
    make = Maker()
    first = resident.resident(("net", "sha"), "cpu", make)
    assert resident.resident(("net", "sha"), "cpu", make) is first
    assert resident.resident(("net", "other sha"), "cpu", make) is not first
    assert make.made == 2
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_networks_not_used_for_longest_go_first():
    compute.set_limits(Limits(models_mb=2))
    make = Maker()
    for key in ("a", "b", "a", "c"):
        resident.resident(key, "cpu", make)
    assert make.made == 3
    assert resident.held_mb("cpu") == pytest.approx(2)
    resident.resident("a", "cpu", make)
    assert make.made == 3
    resident.resident("b", "cpu", make)
    assert make.made == 4


def test_one_network_larger_than_the_bound_still_runs():
    compute.set_limits(Limits(models_mb=0))
    assert resident.resident("a", "cpu", Maker()) is resident.resident("a", "cpu", Maker())


def test_a_network_that_cannot_be_made_leaves_nothing():
    def broken():
        raise ValueError("no such weights")

    with pytest.raises(ValueError, match="no such weights"):
        resident.resident("a", "cpu", broken)
    assert resident.held_mb("cpu") == 0


def test_only_the_one_used_last_is_kept_when_others_are_released():
    for key in ("a", "b"):
        resident.resident(key, "cpu", Maker())
    assert resident.release_others("cpu")
    assert not resident.release_others("cpu")
    assert resident.held_mb("cpu") == pytest.approx(1)
