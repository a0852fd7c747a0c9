from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference import compute, resident
from inference.batches import Batches, GPUMemoryError, in_batches, joined_parameters
from inference.compute import Limits, Precision, dtype_on


@pytest.fixture(autouse=True)
def usual_limits():
    yield
    compute.set_limits(Limits())
    resident.release_all()


def doubled(_device):
    return lambda batch: batch * 2


class Small:
    """A device that holds so many inputs at once."""

    def __init__(self, fits: int) -> None:
        self.fits, self.computed = fits, []

    def __call__(self, _device: str):
        def network(batch: torch.Tensor) -> torch.Tensor:
            if len(batch) > self.fits:
                raise torch.OutOfMemoryError("too much")
            self.computed += batch[:, 0].int().tolist()
            return batch * 2

        return network


def without_a_gpu_that_fits(device):
    if device != "cpu":
        raise torch.OutOfMemoryError("the network does not fit")
    return doubled(device)


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_outputs_come_in_the_order_of_inputs_whatever_the_batch(batch):
    inputs = np.arange(14, dtype=np.float32).reshape(7, 2)
    computed = in_batches(doubled, inputs, device="cpu", batch=batch)
    np.testing.assert_array_equal(computed.outputs, inputs * 2)
    assert computed.parameters == {"device": "cpu", "precision": "float32"}
    assert not computed.warnings


def test_out_of_memory_halves_the_batch_and_computes_nothing_twice():
    small, inputs = Small(fits=2), np.arange(7, dtype=np.float32)[:, np.newaxis]
    computed = in_batches(small, inputs, device="cpu", batch=8)
    np.testing.assert_array_equal(computed.outputs, inputs * 2)
    assert small.computed == list(range(7))
    assert computed.warnings == tuple(f"The memory of the GPU ran out: the batch was halved to {n}." for n in (4, 2))


def test_other_networks_are_let_go_of_before_the_batch_is_halved():
    for name in ("old", "older", "in use"):
        resident.resident(name, "cpu", lambda: torch.nn.Linear(2, 2))
    before = resident.held_mb("cpu")
    computed = in_batches(Small(fits=4), np.ones((8, 1), np.float32), device="cpu", batch=8)
    assert resident.held_mb("cpu") == pytest.approx(before / 3)
    assert len(computed.warnings) == 1


def test_what_does_not_fit_one_by_one_goes_to_the_cpu_and_says_so():
    computed = in_batches(without_a_gpu_that_fits, np.ones((3, 2), np.float32), device="cuda:0", batch=2)
    np.testing.assert_array_equal(computed.outputs, 2)
    assert computed.parameters["device"] == "cpu"
    assert computed.warnings[-1] == "The memory of the GPU ran out: the rest was computed on the CPU."


def test_where_the_cpu_is_not_allowed_it_is_a_fault_that_names_the_remedy():
    compute.set_limits(Limits(cpu_fallback=False))
    with pytest.raises(GPUMemoryError, match="cpu_fallback = true"):
        in_batches(without_a_gpu_that_fits, np.ones((3, 2), np.float32), device="cuda:0", batch=2)


def test_a_cpu_without_room_is_a_fault_and_no_endless_retry():
    with pytest.raises(GPUMemoryError):
        in_batches(Small(fits=0), np.ones((1, 1), np.float32), device="cpu", batch=4)


def test_precision_is_what_the_limits_say_and_stands_in_the_parameters():
    compute.set_limits(Limits(precision=Precision.BFLOAT16))
    network = torch.nn.Linear(64, 64, bias=False).requires_grad_(requires_grad=False)
    seen = []

    def on(_device):
        def run(batch):
            said = network(batch)
            seen.append(said.dtype)
            return said

        return run

    inputs = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    computed = in_batches(on, inputs, device="cpu", batch=4)
    assert seen == [torch.bfloat16]
    assert (computed.outputs.dtype, computed.parameters["precision"]) == (np.float32, "bfloat16")
    exact = in_batches(on, inputs, device="cpu", batch=4, dtype=torch.float32)
    assert exact.parameters["precision"] == "float32"
    assert 0 < np.abs(exact.outputs - computed.outputs).max() < 0.05


def test_auto_takes_bfloat16_only_where_there_are_units_for_it(monkeypatch):
    for there, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", {"amx_bf16": there}.copy)
        assert dtype_on("cpu") is dtype


def test_whole_numbers_stay_whole():
    computed = in_batches(lambda _: lambda batch: batch.argmax(1), np.eye(3, dtype=np.float32), device="cpu", batch=2)
    assert computed.outputs.dtype == np.int64


def test_parameters_of_several_computations_are_listed_where_they_differ():
    parts = [{"device": "cuda"}, {"device": "cuda, cpu", "precision": "float32"}]
    assert joined_parameters(parts) == {"device": "cuda, cpu", "precision": "float32"}


def test_a_run_that_was_never_called_has_used_nothing():
    assert Batches(doubled, device="cpu", batch=1).parameters == {"device": "", "precision": ""}


@pytest.mark.parametrize(("gpu_memory_mb", "share"), [(0, 1.0), (2000, 0.25), (9000, 1.0)])
def test_what_torch_takes_of_a_gpu_is_bounded_before_a_network_is_moved_there(monkeypatch, gpu_memory_mb, share):
    bounds = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8_000_000_000))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: bounds.append(given))
    monkeypatch.setattr(torch.backends, "cudnn", cudnn := SimpleNamespace())
    monkeypatch.setattr(torch.backends.cuda, "matmul", cublas := SimpleNamespace())
    monkeypatch.setattr(torch.nn.Module, "to", lambda network, _: bounds.append("moved") or network)
    compute.set_limits(Limits(gpu_memory_mb=gpu_memory_mb))
    resident.resident("a network", "cuda:0", lambda: torch.nn.Linear(2, 2))
    assert bounds == [(share, "cuda:0"), "moved"]
    assert not cudnn.allow_tf32
    assert not cublas.allow_tf32
