import csv
import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from inference.networks.r231 import LungMask
from inference.series import load
from inference.severity.network import Logits
from node.cli import app
from tests.learn import shelves
from tests.learn.severity_phantoms import known_cts, truth_of_lungs
from training.ct_severity import recipe as ct_severity
from training.ct_severity.cases import CaseError, level_of, read
from training.ct_severity.fitting import Examples, Network, Recipe, _even_out, _said, fit, loss, untrained, varied
from training.ct_severity.judging import auc, summary
from training.ct_severity.recipe import KINETICS, LUNG_MASK, Sources, make

TINY = Recipe(width=1, size=(16, 32, 32), epochs=1, batch=2, folds=2)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Four CTs of three patients, and a weights folder; lungs are those of the phantom."""
    folder = tmp_path_factory.mktemp("site")
    cts = known_cts(folder / "data", 4, seed=3)
    table = folder / "data" / "labels.csv"
    table.write_text(table.read_text().replace("P3", "P2"))
    with pytest.MonkeyPatch.context() as patch:
        shelves.stand_in(patch, LUNG_MASK, folder / "weights")
        patch.setattr(LungMask, "__call__", lambda _, ct: truth_of_lungs(cts[0].chest, ct.shape))
        yield Sources(data=folder / "data", labels=table, weights=folder / "weights", out=folder / "out")


@pytest.fixture(scope="module")
def made(site):
    return make(site, TINY)


@pytest.fixture
def examples():
    torch.manual_seed(1)
    return Examples(
        volumes=torch.rand(4, 1, *TINY.size).half(),
        levels=torch.tensor([0, 1, 2, 4]),
        covid=torch.tensor([0, 1, 0, 1.0]),
    )


def test_it_ends_in_weights_that_the_slot_takes_and_the_network_fits(site, made, tmp_path):
    path = site.out / "ct-severity-ltc.safetensors"
    shelves.install(made["slot"], path, tmp_path / "weights")
    untrained(TINY).load_state_dict(load_file(path))
    assert made["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_record_says_what_it_was_trained_on_and_how_it_does_on_patients_not_seen(site, made):
    assert made == json.loads((site.out / "ct-severity-ltc.json").read_text())
    assert made["trained_on"] == {
        "cts": 4,
        "patients": 3,
        "by_level": {"1": 1, "2": 1, "3": 1, "4": 1},
        "covid": {"no": 2, "yes": 2},
        "left_out": [],
    }
    assert sorted(one["row"] for one in made["by_ct"]) == [1, 2, 3, 4]
    assert made["unseen_patients"]["cts"] == sum(fold["cts"] for fold in made["folds"]) == 4
    assert "P2" not in json.dumps(made)


def test_called_again_it_prepares_and_trains_nothing(site, made, monkeypatch):
    monkeypatch.setattr("training.ct_severity.runs.fit", None)
    monkeypatch.setattr("training.ct_severity.volumes.resampled_ct", None)
    assert make(site, TINY) == made


def test_other_labels_are_trained_anew(site, made, monkeypatch, tmp_path):
    class TrainedAnewError(Exception):
        pass

    def training(*_, **__):
        raise TrainedAnewError

    monkeypatch.setattr("training.ct_severity.runs.fit", training)
    other = tmp_path / "labels.csv"
    other.write_text(site.labels.read_text().replace("ct0,P0,1,", "ct0,P0,5,"))
    with pytest.raises(TrainedAnewError):
        make(replace(site, labels=other), TINY)


def test_what_the_pipeline_refuses_is_left_out_with_the_reason(site, made, tmp_path):
    shutil.copytree(site.data, tmp_path / "data")
    for path in sorted((tmp_path / "data" / "ct0").iterdir())[5:]:
        path.unlink()
    record = make(replace(site, data=tmp_path / "data", out=tmp_path / "out"), replace(TINY, folds=0))
    (left_out,) = record["trained_on"]["left_out"]
    assert left_out["row"] == 1
    assert "5 slices" in left_out["reason"]
    assert record["unseen_patients"]["cts"] == 0


def test_a_ct_that_ends_within_the_lungs_is_left_out(site, tmp_path, monkeypatch):
    monkeypatch.setattr(LungMask, "__call__", lambda _, ct: np.ones(ct.shape, np.uint8))
    with pytest.raises(CaseError, match=r"CTs of 0 patients can be used; row 1 is not: The scan ends within the lungs"):
        make(replace(site, out=tmp_path / "out"), replace(TINY, folds=0))


def test_the_command_says_what_is_missing_without_a_traceback(site, tmp_path):
    paths = {"--data": site.data, "--labels": site.labels, "--weights": tmp_path, "--out": tmp_path / "out"}
    done = CliRunner().invoke(app, ["train", "ct-severity", *(str(part) for pair in paths.items() for part in pair)])
    assert done.exit_code == 2
    assert "opacity-node models fetch lungmask-r231" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--start", "kinetics"], "Kinetics weights are of I3D: add --network i3d, or leave out --start kinetics."),
        (["--size", "8", "32", "32"], "LTC needs at least 16 x 32 x 32 voxels, not 8 x 32 x 32."),
        (["--epochs", "0"], "epochs must be at least 1."),
    ],
)
def test_what_cannot_be_trained_is_said_before_a_ct_is_read(site, tmp_path, monkeypatch, options, said):
    shelves.stand_in(monkeypatch, LUNG_MASK, tmp_path)
    shelves.stand_in(monkeypatch, KINETICS, tmp_path)
    monkeypatch.setattr(ct_severity, "read", None)
    paths = {"--data": site.data, "--labels": site.labels, "--weights": tmp_path, "--out": tmp_path / "out"}
    narrow = ["--width", "1", *(options if "--size" in options else [*options, "--size", "16", "32", "32"])]
    command = ["train", "ct-severity", *(str(part) for pair in paths.items() for part in pair), *narrow]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert done.stderr.strip() == said


def test_i3d_starts_from_kinetics(site, tmp_path, monkeypatch):
    weights, values, begun = tmp_path / "weights", {"Mixed_3b.b0.bn.bias": torch.ones(1)}, []

    def taken_over(verified, network):
        begun.append((verified.slot.name, type(network).__name__))
        return values

    def trained(_, recipe, *, start, **__):
        begun.append(start)
        return untrained(recipe).state_dict()

    monkeypatch.setattr(ct_severity, "kinetics_start", taken_over)
    monkeypatch.setattr("training.ct_severity.runs.fit", trained)
    shutil.copytree(site.weights, weights)
    shelves.stand_in(monkeypatch, KINETICS, weights)
    sources = replace(site, out=tmp_path / "out", weights=weights, kinetics=True)
    record = make(sources, replace(TINY, network=Network.I3D, folds=0))
    assert begun == [(KINETICS, "I3D"), values]
    assert record["started_from"] == hashlib.sha256((weights / "rgb_imagenet.pt").read_bytes()).hexdigest()


def test_the_same_seed_makes_the_same_network_and_another_another(examples):
    recipe = replace(TINY, epochs=2)
    first, again, other = (fit(examples, recipe, seed=seed)["conv1.weight"] for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_normalises_nothing_begins_with_channels_of_mean_0_and_deviation_1(examples):
    network = untrained(replace(TINY, width=4))
    _even_out(network, examples.volumes.float())
    for layer in (network.conv1, network.conv4):
        said = _said(layer, network, examples.volumes.float()).transpose(0, 1).flatten(1)
        assert said.mean(dim=1).abs().max() < 0.01
        assert (said.std(dim=1) - 1).abs().max() < 0.01


def test_it_learns_what_it_is_shown():
    torch.manual_seed(0)
    levels = torch.arange(10) % 2 * 4
    volumes = torch.rand(10, 1, 16, 32, 32) * 0.05 + levels.view(-1, 1, 1, 1, 1) * 0.2
    examples = Examples(volumes=volumes.half(), levels=levels, covid=(levels > 2).float())
    recipe = replace(TINY, width=4, epochs=30, batch=5, learning_rate=3e-3, dropout=0.0, variation=0.0)
    trained = untrained(recipe)
    trained.load_state_dict(fit(examples, recipe, seed=1))
    with torch.inference_mode():
        said = trained.eval()(volumes)
    assert (said.levels.argmax(1) == levels).float().mean() >= 0.8
    assert ((said.covid > 0) == (levels > 2)).float().mean() >= 0.8


def test_the_loss_is_least_for_the_truth_and_leaves_out_what_nobody_knows():
    levels, covid = torch.tensor([0, 4]), torch.tensor([1.0, float("nan")])
    right = Logits(levels=torch.eye(5)[levels] * 20, covid=torch.tensor([20.0, -20.0]))
    wrong = Logits(levels=right.levels, covid=torch.tensor([-20.0, -20.0]))
    assert loss(right, levels, covid, covid_weight=0.5) < 0.01
    assert loss(wrong, levels, covid, covid_weight=0.5).item() == pytest.approx(10.0, abs=0.1)
    assert loss(wrong, levels, covid * float("nan"), covid_weight=0.5) < 0.01


def test_variation_moves_a_ct_a_little_and_never_mirrors_it():
    volume = torch.zeros(1, 1, 16, 32, 32)
    volume[..., 8:24, 2:10] = 0.5
    for seed in range(10):
        torch.manual_seed(seed)
        changed = varied(volume, 1.0)
        assert not torch.equal(changed, volume)
        assert changed[..., 20:].sum() == 0
        assert float(changed.max()) <= 0.5 * 1.05 + 1e-6
    assert torch.equal(varied(volume, 0.0), volume)


@pytest.mark.parametrize(
    ("score", "level"), [(0, 1), (5, 1), (6, 2), (10, 2), (11, 3), (15, 3), (20, 4), (21, 5), (25, 5)]
)
def test_five_points_of_the_score_are_a_level(score, level):
    assert level_of(score) == level


def test_a_table_of_scores_is_read(site, tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("folder,patient,global_ct_score,covid\nct0,A,13,\nct1,A,25,1\n")
    assert [(case.level, case.covid, case.patient) for case in read(site.data, table)] == [
        (3, None, "A"),
        (5, True, "A"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"folder": ""}, "Row 1 has no folder; every CT needs both."),
        ({"patient": ""}, "Row 1 has no patient; every CT needs both."),
        ({"level": "6"}, "Row 1: level must be a whole number from 1 to 5."),
        ({"level": ""}, "Row 1 has no level and no global_ct_score; every CT needs one of them."),
        ({"covid": "maybe"}, "Row 1: covid must be 0, 1 or empty."),
        ({"folder": "nowhere"}, "The folder of row 1 holds no such DICOM series"),
        ({"folder": "."}, "The folder of row 1 holds 4 series; name one in the column series_instance_uid."),
    ],
)
def test_a_row_that_cannot_be_used_says_what_to_change(site, tmp_path, row, said):
    full = {"folder": "ct0", "patient": "A", "level": "1", "covid": "0"} | row
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([full.keys(), full.values()])
    with pytest.raises(CaseError) as caught:
        read(site.data, table)
    assert said in str(caught.value)


def test_one_of_several_series_is_read_where_it_is_named(site, tmp_path):
    wanted = load(sorted((site.data / "ct2").iterdir()))
    table = tmp_path / "table.csv"
    table.write_text(f"folder,patient,level,series_instance_uid\n.,A,2,{wanted.headers[0].SeriesInstanceUID}\n")
    (case,) = read(site.data, table)
    assert {path.parent.name for path in case.paths} == {"ct2"}


def test_the_area_under_the_curve_counts_pairs():
    has = np.array([True, True, False, False])
    assert auc(has, np.array([0.9, 0.4, 0.5, 0.1])) == 0.75
    assert auc(has, np.full(4, 0.5)) == 0.5
    assert auc(has[:2], np.array([0.9, 0.4])) is None


def test_the_summary_says_what_guessing_would_do():
    judged = [
        {"level": level, "said": said, "covid": None, "covid_said": 0.5}
        for level, said in ((1, 1), (1, 2), (5, 2), (1, 1))
    ]
    found = summary(judged)
    assert (found["exact"], found["within_one_level"], found["most_common_level"]) == (0.5, 0.75, 0.75)
    assert found["confusion_truth_by_said"][0] == [2, 1, 0, 0, 0]
    assert found["covid_auc"] is None
