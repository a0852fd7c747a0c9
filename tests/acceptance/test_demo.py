"""`opacity-node demo` as a newcomer runs it."""

import json
import subprocess
import sys

import pydicom
import pytest
from PIL import Image


def demo(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "node", "demo", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def assert_complete(done, out, *, instances):
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["complete"]
    assert summary["sent"] == summary["stored"] == summary["kept"] == instances
    assert summary["delivered"] == summary["objects"] > 0
    kept = [pydicom.dcmread(path) for path in (out / "pacs").glob("*.dcm")]
    assert len(kept) == summary["objects"]
    assert {"SR", "SEG"} <= {dataset.Modality for dataset in kept}
    assert len({dataset.StudyInstanceUID for dataset in kept}) == 1
    with Image.open(out / "key_image.png") as picture:
        assert min(picture.size) >= 512
    assert "research use only" in done.stdout.lower()
    assert str(out / "pacs") in done.stdout.replace("\n", "")
    return summary


def test_without_a_study_it_sends_a_synthetic_chest_and_shows_what_came_back(tmp_path):
    done = demo("--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["sent"] >= 60
    (findings,) = summary["findings"]
    assert {region["label"] for region in findings["regions"]} >= {"right lung", "left lung"}
    assert set(summary["stages"]) >= {"receive", "settle", "job", "deliver"}


def test_it_runs_a_second_time_into_the_same_folder_but_never_empties_anybody_elses(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = demo("--out", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "choose another folder" in done.stderr.replace("\n", " ")
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("content", [None, "notes.txt"])
def test_a_folder_without_dicom_files_is_named(tmp_path, content):
    (tmp_path / "study").mkdir()
    if content:
        (tmp_path / "study" / content).write_text("no DICOM here")
    done = demo("study", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no DICOM file" in done.stderr.replace("\n", " ")


def test_the_real_ct_comes_back_as_report_segmentation_and_picture(real_ct, tmp_path):
    done = demo(real_ct, "--out", tmp_path / "out", cwd=tmp_path)
    summary = assert_complete(done, tmp_path / "out", instances=248)
    volumes = {region["label"]: region["measurements"][0]["value"] for region in summary["findings"][0]["regions"]}
    assert 1200 < volumes["right lung"] < 1900
    assert 1200 < volumes["left lung"] < 1900
    assert volumes["opacity"] > 50
