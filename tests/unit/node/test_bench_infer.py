"""What `bench infer` counts, and how; the networks themselves take minutes."""

import math
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lungmask.resunet import UNet

from node.bench import infer, operations, stand_ins, xray_rates
from node.bench.alone import alone
from node.bench.clock import Clock, Taken, timed
from node.bench.ct_run import Run, Task
from node.bench.infer import Wanted
from node.bench.limit import Limit
from node.bench.planted_lungs import PlantedLungs
from node.bench.xray_run import Run as XrayRun
from phantom.ct import make_chest
from phantom.dicom import write_study

_MB = 1_000_000
LIMIT = Limit(gflop_per_s=100.0, gflop={"LTC": 50.0, "ConvNeXt": 10.0, "nnU-Net 336": 60.0})


def test_work_alone_answers_or_says_why_not():
    assert alone(math.factorial, 5) == 120
    with pytest.raises(RuntimeError, match="ValueError: invalid literal"):
        alone(int, "five")
    with pytest.raises(RuntimeError, match="it was ended"):
        alone(os._exit, 3)


def _peaks() -> tuple[int, float, float]:
    held = np.ones(60 * _MB, np.uint8)
    _, nothing = timed(lambda: None)
    (total, used) = timed(lambda: int(np.ones(120 * _MB, np.uint8)[::_MB].sum()))
    _, after = timed(lambda: None)
    assert held.any()
    return total, used.peak_mb - nothing.peak_mb, after.peak_mb - nothing.peak_mb


def test_the_peak_of_memory_is_that_of_the_work_and_of_nothing_before_it():
    total, used, after = alone(_peaks)  # this process has memory left over from other tests
    assert total == 120
    assert used == pytest.approx(120, abs=10)
    assert after == pytest.approx(0, abs=10)


def test_seconds_of_waiting_are_none_of_the_processor():
    _, slept = timed(partial(time.sleep, 0.1))
    _, busy = timed(lambda: sum(range(2 * _MB)))
    assert slept.cpu_s < 0.05 < slept.wall_s
    assert busy.cpu_s > 0


def test_a_clock_adds_up_what_is_watched():
    class Worker:
        def work(self, images):
            return images * 2

    clock = Clock()
    clock.watch(Worker, "work", lambda _, images: clock.count("network", images))
    assert [Worker().work(3), Worker().work(4)] == [6, 8]
    assert clock.counts == {"network": 7}
    assert list(clock.parts) == ["network"]


def test_operations_are_counted_and_set_against_the_limit():
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, device="meta")
    assert operations._gflop(convolution, (3, 10, 10)) == pytest.approx(2 * 10 * 10 * 8 * 27 / 1e9)
    assert LIMIT.share("LTC", 4, 4.0) == pytest.approx(0.5)


def test_operations_of_a_network_that_takes_any_size_are_those_of_what_it_saw():
    clock = Clock()
    assert clock.count_sizes("Faster R-CNN", [(800, 1050), (760, 800)]) == "Faster R-CNN"
    assert clock.counts == {"Faster R-CNN": 2}
    wide, narrow = (
        operations.on_sizes({"Faster R-CNN": [size]})["Faster R-CNN"] for size in clock.sizes["Faster R-CNN"]
    )
    assert wide == pytest.approx(2 * 134.38, rel=0.3)  # torchvision's own count, of multiplications, on COCO's images
    heads = 2 * 1000 * (256 * 49 * 1024 + 1024**2 + 5 * 5 * 1024) / 1e9
    assert (wide - heads) / (narrow - heads) == pytest.approx(800 * 1056 / (768 * 800), rel=0.01)  # borders count
    assert operations.on_sizes(clock.sizes)["Faster R-CNN"] == pytest.approx((wide + narrow) / 2, abs=0.1)


def test_a_planted_lung_lies_on_the_slices_that_were_asked_for():
    network = UNet(n_classes=3, wf=1, padding=True, depth=2, up_mode="upsample", batch_norm=True).eval()
    planted = PlantedLungs(2, 4)
    try:
        dark = torch.zeros(3, 1, 32, 32)
        with torch.inference_mode():
            network(dark)
            planted.begin()
            said = torch.cat([network(dark), network(dark), network(dark + 1)]).argmax(1)
    finally:
        planted.handle.remove()
    assert [bool(labels.any()) for labels in said] == [number in (2, 3) for number in range(9)]
    assert said[2, 16, 8] == 1  # the patient's right lies at the left
    assert said[2, 16, 24] == 2
    with torch.inference_mode():
        assert network(dark).dtype == torch.float32


@pytest.fixture
def ct(tmp_path):
    write_study(tmp_path / "ct", make_chest(slices=40, rows=16, columns=16, spacing_mm=(5.0, 18.0, 18.0)))
    return tmp_path / "ct"


def test_lungs_are_planted_in_the_middle_and_never_at_the_ends(ct):
    paths = sorted(ct.iterdir())
    ordered, lungs = infer._sorted(paths, 20)
    assert (set(ordered), lungs) == (set(paths), (10, 30))
    assert infer._sorted(paths, 400)[1] == (5, 35)


def test_the_package_is_run_once_and_ours_in_each_precision(ct, tmp_path, monkeypatch):
    monkeypatch.setattr(stand_ins, "fill", lambda *_: None)
    wanted = Wanted(study=ct, runs=1, lung_slices=20, precisions=("float32", "bfloat16"), long_slices=0, device="cpu")
    tasks = infer._tasks(wanted, tmp_path, has_package=True)
    assert [(task.side, task.precision) for task in tasks] == [
        ("package", "float32"),
        ("balaitous", "float32"),
        ("balaitous", "bfloat16"),
        ("ct-severity", "float32"),
    ]
    assert len({(task.paths, task.weights, task.lungs, task.device) for task in tasks}) == 1


def test_a_side_has_the_medians_of_its_runs_and_memory_without_weights():
    runs = tuple(
        Run(wall_s=s, cpu_s=2 * s, peak_mb=900 + s, weights_mb=400, parts={"LTC": s, "load": 1}, counts={"LTC": 1})
        for s in (3.0, 1.0, 2.0)
    )
    task = Task(side="ct-severity", paths=(), weights=Path(), lungs=(0, 1))
    side = infer._side(task, runs, {"float32": LIMIT})
    assert (side.wall_s, side.cpu_s, side.memory_mb) == (2.0, 4.0, 503)
    assert side.shares == {"LTC": 0.25}


def test_a_rate_compares_all_images_together_with_naive_calls(monkeypatch):
    def run(wall_s, said):
        return XrayRun(
            together=Taken(wall_s=wall_s, cpu_s=2 * wall_s, peak_mb=0),
            single=Taken(wall_s=wall_s / 2, cpu_s=0, peak_mb=0),
            parts={"ConvNeXt": 1.0, "nnU-Net 336": 2.0, "lung-fields": 0.1, "Faster R-CNN": 1.0},
            counts={"ConvNeXt": 2, "nnU-Net 336": 8, "Faster R-CNN": 1},
            sizes={"Faster R-CNN": [(800, 1056)]},
            said={"ConvNeXt": np.array(said, np.float32)},
        )

    monkeypatch.setattr(operations, "_of_boxes", lambda size: size[0] / 10)
    quick = Limit(gflop_per_s=400.0, gflop=LIMIT.gflop)
    found = {"opacity-ensemble": {"": run(30, [0.5, 0.25]), "bfloat16": run(10, [0.5, 0.5])}}
    (rate,) = xray_rates.rated(found, {"float32": LIMIT, "bfloat16": quick}, "cpu")
    assert rate.pipeline == "opacity-ensemble"
    assert (rate.faster, rate.faster_by_processor_time, rate.apart) == (3.0, 3.0, {"ConvNeXt": 0.25})
    assert (rate.together_per_s, rate.alone_per_s, rate.naively_per_s) == (0.2, 0.2, 0.067)
    assert rate.shares == {
        "ConvNeXt": 0.2,
        "nnU-Net 336": 0.6,
        "Faster R-CNN": 0.2,
    }  # ConvNeXt is computed in float32 on a CPU
