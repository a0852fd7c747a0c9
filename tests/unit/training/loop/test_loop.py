"""The loop that recipes share: it repeats, goes on after a break, leaves alone what is frozen, and writes it down."""

import csv
import hashlib
import json
import signal
from dataclasses import replace

import pytest
import torch
import typer
from safetensors import safe_open
from safetensors.torch import load_file

from inference.weights import manifest
from node.cli.training import told
from node.installation import Installation
from tests.unit.training.loop.a_task import PLAN, SLOT, BrightTask
from training.loop.making import make, parted
from training.loop.plan import Plan, PlanError, Precision


def hash_of(folder):
    return hashlib.sha256((folder / f"{SLOT}.safetensors").read_bytes()).hexdigest()


def state_of(folder):
    return load_file(folder / f"{SLOT}.safetensors")


def log_of(folder):
    with (folder / f"{SLOT}.csv").open(newline="") as stream:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make(BrightTask(), PLAN, folder)
    return folder


def values_of(folder):
    return {name: value.tolist() for name, value in state_of(folder).items()}


def test_the_same_seed_makes_the_same_network_however_many_processes_read(out, tmp_path):
    make(BrightTask(), replace(PLAN, workers=1), tmp_path / "again")
    assert values_of(tmp_path / "again") == values_of(out)
    make(BrightTask(), replace(PLAN, seed=21), tmp_path / "other")
    assert values_of(tmp_path / "other") != values_of(out)


@pytest.mark.parametrize("stops_at", [3, 11, 19])
def test_what_was_broken_off_goes_on_and_ends_as_if_it_had_not_been(out, tmp_path, stops_at):
    broken = BrightTask()
    broken.stops_at = stops_at
    with pytest.raises(OSError, match="no power"):
        make(broken, PLAN, tmp_path)
    with (tmp_path / f"{SLOT}.csv").open("a") as log:  # as if it had been killed between its log and its checkpoint
        log.write("3,0,0,0,0\n")
    again = BrightTask()
    make(again, PLAN, tmp_path)
    assert again.read == 24 - (stops_at - 1) // 8 * 8
    assert values_of(tmp_path) == values_of(out)
    assert log_of(tmp_path) == log_of(out)
    assert not list((tmp_path / "unfinished").iterdir())


@pytest.fixture
def heeds_ctrl_c():
    """Ctrl-C as in a terminal: a shell has what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize(("stopped_by", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_stopped_says_that_the_same_command_goes_on(stopped_by, status, out, tmp_path, capsys):
    stopped = BrightTask()
    stopped.stops_at, stopped.stopped_by = 11, stopped_by
    with pytest.raises(typer.Exit) as ended, told():
        make(stopped, PLAN, tmp_path)
    assert ended.value.exit_code == status
    assert "broken off; the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    make(BrightTask(), PLAN, tmp_path)
    assert values_of(tmp_path) == values_of(out)


def test_what_was_made_is_not_made_again_and_what_differs_is(out, tmp_path):
    (tmp_path / f"{SLOT}.safetensors").write_bytes((out / f"{SLOT}.safetensors").read_bytes())
    same = BrightTask()
    make(same, PLAN, tmp_path)
    assert same.read == 0
    other = BrightTask()
    other.examples = [*other.examples[:-1], replace(other.examples[-1], bright=False)]
    make(other, PLAN, tmp_path)
    assert other.read == 24


def test_frozen_parts_stay_as_they_are_batch_norms_too(out):
    torch.manual_seed(PLAN.seed)
    started = BrightTask().network().state_dict()
    ended = state_of(out)
    still = [name for name in started if name.startswith("still.")]
    assert len(still) == 7
    assert all(torch.equal(started[name], ended[name]) for name in still)
    assert not torch.equal(started["classifier.weight"], ended["classifier.weight"])


def test_no_patient_that_is_held_out_was_learnt_from():
    examples = BrightTask().examples
    held_out = []
    for fold in (1, 2, 3):
        seen, unseen = parted(examples, replace(PLAN, fold=fold))
        assert not {examples[n].patient for n in seen} & {examples[n].patient for n in unseen}
        assert sorted(seen + unseen) == list(range(12))
        held_out += unseen
    assert sorted(held_out) == list(range(12))
    assert parted(examples, replace(PLAN, folds=0)) == (list(range(12)), [])


def test_the_file_fits_its_slot_and_says_how_it_was_made(out, tmp_path):
    with safe_open(out / f"{SLOT}.safetensors", framework="pt") as file:
        said = file.metadata()
    assert said["network"] == "EfficientNet-B4 classifier, 1 output"
    assert said["outputs"] == "opacity"
    assert json.loads(said["recipe"])["rate"] == 0.1
    assert len(said["data_sha256"]) == 64
    record = Installation(tmp_path).add(manifest.SLOTS[SLOT], out / f"{SLOT}.safetensors")
    assert record.sha256 == hash_of(out)


def test_the_card_has_every_number_the_data_the_licence_and_the_limits(out):
    card = json.loads((out / f"{SLOT}.json").read_text())
    assert card["sha256"] == hash_of(out)
    assert card["licence"] == "CC0-1.0"
    assert card["recipe"] == {"rate": 0.1, **PLAN.decisive}
    assert card["data"]["learnt_from"] == {"images": 8, "patients": 4}
    assert card["data"]["held_out"] == {"images": 4, "patients": 2}
    assert card["data"]["origin"] == "made up"
    assert card["limits"] == ["Made up."]
    assert card["held_out_fold"]["score"]["positive"] == 2
    assert 0 < card["highest"] < 1


def test_the_report_is_that_of_an_evaluation_and_names_nothing_of_a_patient(out):
    folder = out / f"{SLOT}-report"
    said = json.loads((folder / "evaluation.json").read_text())
    assert said["made_by"] == "opacity-node train"
    assert [row["path"] for row in said["rows"]] == [f"n{n}" for n in parted(BrightTask().examples, PLAN)[1]]
    assert {row["state"] for row in said["rows"]} == {"judged"}
    page = (folder / "report.html").read_text()
    assert "fold 2 of 3" in page
    assert "data:image/png" not in page


def test_the_log_has_a_row_for_each_epoch_with_the_loss_on_both_sides(out):
    rows = log_of(out)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row[name]) > 0 for row in rows for name in ("loss", "held_out_loss", "rate_at_end"))


@pytest.mark.parametrize("is_shown", [False, True])
def test_without_a_terminal_each_epoch_is_a_line(is_shown, tmp_path, capsys):
    make(BrightTask(), replace(PLAN, epochs=2, is_shown=is_shown), tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{SLOT}: epoch")]
    assert [line.split(",")[0] for line in lines] == ([] if is_shown else [f"{SLOT}: epoch {n} of 2" for n in (1, 2)])
    assert all("loss 0." in line for line in lines)


def test_mixed_precision_computes_otherwise_and_leaves_weights_in_full(out, tmp_path):
    make(BrightTask(), replace(PLAN, precision=Precision.BF16), tmp_path)
    assert {value.dtype for value in state_of(tmp_path).values()} <= {torch.float32, torch.int64}
    assert values_of(tmp_path) != values_of(out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0, "batch": 0}, "epochs and batch must be at least 1"),
        ({"folds": 1}, "folds must be 0, which holds out nothing, or at least 2"),
        ({"folds": 3, "fold": 4}, "fold must be from 1 to 3"),
        ({"precision": Precision.FP16}, "16-mixed needs a GPU"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes, message):
    with pytest.raises(PlanError, match=message):
        Plan(**{"epochs": 1, "batch": 1, **changes})


def test_too_few_images_or_patients_are_refused(tmp_path):
    said = f"{SLOT}: 8 images to learn from and 4 held out as fold 2 of 3; a batch of 9 needs as many.* 0 as --folds"
    with pytest.raises(PlanError, match=said):
        make(BrightTask(), replace(PLAN, batch=9), tmp_path)
    with pytest.raises(PlanError, match="images of 6 patients, and 7 folds need as many"):
        make(BrightTask(), replace(PLAN, folds=7), tmp_path)
