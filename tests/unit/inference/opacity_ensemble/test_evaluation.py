"""`opacity-node evaluate --calibrate` on the whole pipeline, whose experts mark what was planted."""

import json
import tomllib

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from inference import registry
from inference.opacity_ensemble.blends import weights_of
from inference.opacity_ensemble.ensemble import RUNNING_ORDER
from node.cli import app
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import to_dataset, turned
from phantom.dicom import write

ORIENTATION = ("F", "L")


@pytest.fixture(scope="module")
def found(weights, tmp_path_factory):
    """What is said of an X-ray, stored transposed, with a bright square, whose place is the truth."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "truth").mkdir()
    square = (slice(100, 180), slice(60, 130))
    phantom = make_radiograph(rows=384, columns=384, spacing_mm=0.96, seed=1, opacity=False, letter="")
    phantom.pixels[:] = phantom.pixels // 3
    phantom.pixels[square] = 4000
    truth = np.zeros(phantom.pixels.shape, dtype=np.uint8)
    truth[square] = 255
    dataset = to_dataset(phantom, patient_orientation=ORIENTATION, voi="none")
    write(folder / "images", [dataset])
    Image.fromarray(turned(truth, ORIENTATION)).save(folder / "truth" / f"{dataset.SOPInstanceUID}.png")
    given = ["evaluate", "--pipeline", "opacity-ensemble", "--weights", str(weights), "--calibrate", "--pictures", "0"]
    places = ["--images", str(folder / "images"), "--truth", str(folder / "truth"), "--out", str(folder / "out")]
    result = CliRunner().invoke(app, [*given, *places], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return json.loads((folder / "out" / "evaluation.json").read_text()), result.output


def test_what_was_planted_is_judged_as_found_by_mask_map_and_boxes(found):
    results = found[0]["results"]
    assert results["regions"]["opacity"]["lowest"] > 0.9
    assert 0 < results["map_loss"]["value"] < 0.5
    assert results["score"]["decisions"]["threshold"] == 0.5
    assert results["score"]["decisions"]["true_positive"] == 1


def test_weights_follow_from_the_losses_of_the_experts_in_their_running_order(found):
    results, (row,) = found[0]["results"]["calibration"], found[0]["rows"]
    assert tuple(results["losses"]) == RUNNING_ORDER
    assert results["losses"] == pytest.approx(row["experts"])
    assert list(results["weights"].values()) == pytest.approx(weights_of(list(results["losses"].values())))


def test_the_settings_that_are_printed_are_what_the_pipeline_takes(found, weights):
    output = found[1]
    section = output[output.index("[pipelines.opacity-ensemble]") : output.index("! Measured on few images")]
    chosen = tomllib.loads(section)["pipelines"]["opacity-ensemble"]
    assert chosen["variant"] == "weighted"
    assert registry.load("opacity-ensemble", weights=weights, settings=chosen)
