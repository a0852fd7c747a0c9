"""Lungs of a frontal image where the memory of a GPU runs out: found all the same, and the result says how."""

import numpy as np
import pytest
import torch

from inference import compute, frontal_lungs, radiograph, resident
from inference.batches import GPUMemoryError
from inference.compute import Limits
from inference.findings import Algorithm, Findings
from inference.frontal_pipeline import FrontalPipeline
from inference.pipelines import lung_fields, opacity_boxes
from inference.weights import Shelf
from phantom.cxr import make_radiograph
from tests.radiographs import write_xray

HALVED = "The memory of the GPU ran out: the batch was halved to 1."
ON_CPU = "The memory of the GPU ran out: the rest was computed on the CPU."


class Frontal(FrontalPipeline):
    """A pipeline that finds nothing, and has a warning of its own."""

    card, reads = lung_fields.CARD, opacity_boxes.CARD.input

    def _found(self, radiographs, lungs, device):
        del lungs, device
        nothing = Findings(algorithm=Algorithm(name="n", version="1"), source_instances=(), warnings=("own", HALVED))
        return [nothing for _ in radiographs]


@pytest.fixture
def chest(tmp_path):
    pixels = make_radiograph(rows=320, columns=304, spacing_mm=1.2, seed=3).pixels
    return radiograph.load(write_xray(tmp_path / "chest.dcm", pixels))


@pytest.fixture
def weights(tmp_path):
    yield Shelf(tmp_path).require_for("lung-fields")["lung-fields"]
    compute.set_limits(Limits())
    resident.release_all()


@pytest.fixture
def small_gpu(monkeypatch):
    """Have a GPU hold so many images; of none not even the network fits."""

    def hold(images: int) -> None:
        inner = frontal_lungs.resident

        def small(key, device, make):
            network = inner(key, "cpu", make)

            def on_gpu(batch):
                if len(batch) > images:
                    raise torch.OutOfMemoryError("too much")
                return network(batch.cpu())

            return network if device == "cpu" else on_gpu

        monkeypatch.setattr(frontal_lungs, "resident", small)
        monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_, **__: tensor)

    return hold


@pytest.mark.parametrize(("images", "said"), [(2, ()), (1, (HALVED,)), (0, (HALVED, ON_CPU))])
def test_lungs_are_those_of_a_machine_with_memory_and_the_retreat_is_told(chest, weights, small_gpu, images, said):
    exact = frontal_lungs.frontal_lungs(chest, weights, "cpu")
    small_gpu(images)
    found = frontal_lungs.frontal_lungs(chest, weights, "cuda")
    assert exact.warnings == ()
    assert found.warnings == said
    assert exact.masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(found.masks, exact.masks)
    np.testing.assert_allclose(found.probabilities.values, exact.probabilities.values, atol=1e-5)


def test_without_the_cpu_it_says_what_can_be_done(chest, weights, small_gpu):
    compute.set_limits(Limits(cpu_fallback=False))
    small_gpu(0)
    with pytest.raises(GPUMemoryError, match=r"engine\.cpu_fallback = true"):
        frontal_lungs.frontal_lungs(chest, weights, "cuda")


@pytest.mark.usefixtures("weights")
def test_every_pipeline_that_asks_for_lungs_tells_the_retreat_once(chest, tmp_path, small_gpu):
    small_gpu(0)
    assert Frontal(tmp_path)(chest, "cuda").warnings == ("own", HALVED, ON_CPU)
    assert lung_fields.LungFields(tmp_path)(chest, "cuda").warnings[-2:] == (HALVED, ON_CPU)
