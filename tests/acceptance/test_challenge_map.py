"""`opacity-node run --challenge-map`: the map as the challenge took it, where a pipeline has one."""

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from inference import resident
from tests.acceptance.runs import findings_in, invoke
from tests.narrow_ensemble import PIPELINE, Ensemble
from tests.narrow_explain import Explain
from tests.radiographs import write_xray


@pytest.fixture
def weights(tmp_path, monkeypatch):
    yield Ensemble(tmp_path / "ensemble").stand_in(monkeypatch)
    resident.release_all()


def test_it_has_the_size_of_the_stored_image_and_the_values_of_the_map_in_8_bits(weights, tmp_path):
    y, x = np.indices((260, 333))
    pixels = (1600 * ((7 * x + 13 * y) % 101) / 100).astype(np.uint16)
    pixels[100:160, 60:110] = 4000
    image = write_xray(tmp_path / "xray.dcm", pixels, {"PatientOrientation": ["R", "F"]})
    out = tmp_path / "out"
    arguments = (image, "--pipeline", PIPELINE, "--weights", weights, "--out", out)
    done = invoke(*arguments, "--challenge-map")
    assert done.exit_code == 0, done.output
    found, folder = findings_in(out)
    assert found["challenge_map"] == "challenge-map.png"
    with Image.open(folder / "challenge-map.png") as png:
        assert (png.mode, png.size) == ("L", (333, 260))
        values = np.asarray(png)
    (written,) = found["maps"]
    probability = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / written["file"]))[0]
    assert np.array_equal(values, np.rint(255 * probability))
    assert values[130, 85] == round(255 * 0.95)
    assert values.min() == round(255 * 0.05)

    assert invoke(*arguments).exit_code == 0
    again, folder = findings_in(out)
    assert again["challenge_map"] is None
    assert not (folder / "challenge-map.png").exists()


def test_the_explaining_cascade_keeps_to_the_limits_of_its_source(tmp_path, monkeypatch):
    pixels = (1600 * (np.indices((260, 333)).sum(axis=0) % 101) / 100).astype(np.uint16)
    pixels[100:160, 80:110] = 4000
    image, weights = write_xray(tmp_path / "xray.dcm", pixels), Explain(tmp_path / "explain").stand_in(monkeypatch)
    arguments = (image, "--pipeline", "opacity-explain", "--weights", weights, "--out", tmp_path / "out")
    done = invoke(*arguments, "--challenge-map")
    assert done.exit_code == 0, done.output
    _, folder = findings_in(tmp_path / "out")
    with Image.open(folder / "challenge-map.png") as png:
        values = np.asarray(png)
    assert values.shape == (260, 333)
    assert (values[130, 95], values[60, 95], values[0, 0]) == (245, 10, 1)
    assert set(np.unique(values[values > 1])) <= set(range(10, 246))


def test_a_pipeline_without_one_refuses_and_names_those_that_have_one(tmp_path):
    done = invoke(tmp_path, "--pipeline", "lung-fields", "--out", tmp_path / "out", "--challenge-map")
    assert done.exit_code == 2
    assert "lung-fields makes no such map; pipelines that do: opacity-ensemble, opacity-explain" in " ".join(
        done.output.split()
    )
    assert not (tmp_path / "out").exists()
