"""`opacity-node run --out`: what a run does to the folder of an earlier one, and to the files of others."""

import json
import shutil
from pathlib import Path

import pytest

from inference.weights import manifest, shelf
from node.offline import folder
from phantom.cxr_dicom import lateral, to_dataset
from phantom.dicom import write
from tests.acceptance.runs import chest_xray, invoke, rows

UID = str(to_dataset(chest_xray()).SOPInstanceUID)


def run(place, out, *options):
    return invoke(place, "--pipeline", "lung-fields", "--out", out, "--maps", "none", *options)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    place = tmp_path_factory.mktemp("first")
    write(place / "xray", [to_dataset(chest_xray())])
    assert run(place / "xray", place / "out").exit_code == 0
    return place / "out"


@pytest.fixture
def out(first, tmp_path):
    """The folder of an earlier run, which may be changed."""
    return Path(shutil.copytree(first, tmp_path / "out"))


@pytest.fixture
def side(tmp_path):
    """A study in which nothing fits: a run that is over at once."""
    return write(tmp_path / "side", [lateral(chest_xray())])[0].parent


def content(place):
    return {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.fixture
def no_dicom(frontal):
    frontal.rename(frontal.with_name("notes.txt")).write_text("nothing")
    return frontal.parent


def test_a_run_that_finds_no_dicom_leaves_the_results_of_the_earlier_one(out, no_dicom):
    before = content(out)
    assert run(no_dicom, out).exit_code == 2
    assert content(out) == before


def test_a_run_without_weights_leaves_the_results_of_the_earlier_one(out, frontal, tmp_path, monkeypatch):
    before = content(out)
    monkeypatch.setattr(manifest, "SHIPPED", tmp_path / "nowhere")
    shelf.forget()
    assert run(frontal, out).exit_code == 3
    assert content(out) == before


def test_a_run_that_cannot_start_makes_no_folder(no_dicom, tmp_path):
    assert run(no_dicom, tmp_path / "new").exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_results_of_another_pipeline_are_never_replaced(options, out, side):
    before = content(out)
    done = invoke(side, "--pipeline", "lung-densitometry", "--out", out, *options)
    assert done.exit_code == 2
    assert "holds results of lung-fields; choose another folder with --out" in done.output
    assert content(out) == before


def test_a_second_run_replaces_what_the_first_wrote(out, frontal):
    (out / UID / "findings.json").write_text((out / UID / "findings.json").read_text().replace("created_at", "when"))
    assert run(frontal, out).exit_code == 0
    assert [row["folder"] for row in rows(out)] == [UID]
    assert "created_at" in (out / UID / "findings.json").read_text()
    assert len(list(out.glob("*/findings.json"))) == 1


def test_what_a_person_put_into_the_folders_stays(out, side):
    strangers = {Path(UID) / "mask-right-lung-corrected.png", Path("4.5.6/precious.txt"), Path("1.2.3.part/mine.txt")}
    for path in strangers:
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_text("mine")
    shutil.copytree(out / UID, out / f"{UID} baseline")
    kept = {path for path in content(out) if path.parts[0].endswith("baseline")}
    assert run(side, out).exit_code == 3
    assert set(content(out)) == strangers | kept | {Path(name) for name in ("run.json", "summary.csv", ".run-folders")}


def test_results_whose_list_was_edited_stay(out, side):
    found = json.loads((out / UID / "findings.json").read_text())
    (out / UID / "findings.json").write_text(json.dumps(found | {"regions": None}))
    before = content(out / UID)
    assert run(side, out).exit_code == 3
    assert content(out / UID) == before


def test_a_list_that_names_files_elsewhere_does_not_remove_them(out, side, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    found = json.loads((out / UID / "findings.json").read_text())
    (out / UID / "findings.json").write_text(json.dumps(found | {"pictures": ["../../precious.txt"]}))
    assert run(side, out).exit_code == 3
    assert (tmp_path / "precious.txt").exists()


def test_results_gathered_from_elsewhere_stay_run_after_run(first, side, tmp_path):
    out = tmp_path / "gathered"
    shutil.copytree(first / UID, out / UID)
    before = content(out)
    for _ in range(2):
        assert run(side, out, "--overwrite").exit_code == 3
        assert content(out).items() >= before.items()


def test_what_a_killed_run_left_unfinished_goes(out, side):
    (out / UID / "findings.json").unlink()
    (out / UID).rename(out / f"{UID}.part")
    assert run(side, out).exit_code == 3
    assert {path.name for path in out.iterdir()} == {"run.json", "summary.csv", ".run-folders"}


def test_an_unfinished_folder_of_somebody_else_is_not_written_into(frontal, tmp_path):
    taken = tmp_path / "out" / f"{UID}.part"
    taken.mkdir(parents=True)
    (taken / "precious.txt").write_text("mine")
    assert run(frontal, tmp_path / "out", "--overwrite").exit_code == 0
    assert [path.name for path in taken.iterdir()] == ["precious.txt"]
    assert rows(tmp_path / "out")[0]["folder"] == f"{UID}-2"


def test_a_folder_of_somebody_else_is_refused_and_with_overwrite_nothing_in_it_is_lost(first, frontal, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(first / UID, out / UID)
    before = content(out)
    done = run(frontal, out)
    assert done.exit_code == 2
    assert "--overwrite" in done.output
    assert content(out) == before
    assert run(frontal, out, "--overwrite").exit_code == 0
    assert content(out).items() >= before.items()
    assert (out / f"{UID}-2" / "findings.json").is_file()


@pytest.mark.parametrize("name", ["summary.csv", "run.json"])
def test_a_table_or_record_of_somebody_else_is_not_written_over(name, side, tmp_path):
    (tmp_path / name).write_text("{}")
    done = run(side, tmp_path, "--overwrite")
    assert done.exit_code == 2
    assert f"{name} is not of an earlier run and would be lost; take it away" in done.output
    assert (tmp_path / name).read_text() == "{}"


def test_a_second_run_at_once_is_refused_and_changes_nothing(out, side):
    before = content(out)
    with folder.held(out, pipeline="lung-fields", overwrite=False):
        done = run(side, out)
    assert done.exit_code == 2
    assert "Another run writes into" in done.output
    assert content(out) == before
    assert run(side, out).exit_code == 3
