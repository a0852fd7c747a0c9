"""`opacity-node demo` as a newcomer runs it."""

import json
import subprocess
import sys

import pydicom
import pytest
from PIL import Image

from phantom.cxr import make_radiograph
from phantom.cxr_dicom import lateral, to_dataset
from phantom.dicom import write


def demo(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "node", "demo", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def said(done):
    """What was printed, without the line breaks of a narrow screen."""
    return " ".join((done.stdout + done.stderr).split())


def assert_complete(done, out, *, instances, studies=1):
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["complete"]
    assert summary["sent"] == summary["stored"] == summary["kept"] == instances
    assert summary["delivered"] == summary["objects"] > 0
    kept = [pydicom.dcmread(path) for path in (out / "pacs").glob("*.dcm")]
    assert len(kept) == summary["objects"]
    assert {"SR", "SEG"} <= {dataset.Modality for dataset in kept}
    assert len({dataset.StudyInstanceUID for dataset in kept}) == studies
    assert "research use only" in done.stdout.lower()
    assert str(out / "pacs") in done.stdout.replace("\n", "")
    return summary


def assert_picture(path):
    with Image.open(path) as picture:
        assert min(picture.size) >= 512


def test_without_a_study_it_sends_a_synthetic_ct_and_x_ray_and_shows_what_came_back(tmp_path):
    done = demo("--out", "out", cwd=tmp_path)
    out = tmp_path / "out"
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["sent"] >= 60
    findings = {found["algorithm"]["name"]: found for found in summary["findings"]}
    assert set(findings) == {"lung-densitometry", "lung-fields"}
    for found in findings.values():
        assert {region["label"] for region in found["regions"]} >= {"right lung", "left lung"}
    assert [study["pipelines"] for study in summary["studies"]] == [["lung-densitometry"], ["lung-fields"]]
    assert all(set(study["stages"]) >= {"receive", "settle", "job", "deliver"} for study in summary["studies"])
    (side,) = (decision for decision in summary["decisions"] if not decision["runs"])
    assert "lateral" in side["reason"]
    assert "does not run" in done.stdout
    assert sorted(path.name for path in out.glob("*.png")) == [f"key_image_{name}.png" for name in sorted(findings)]
    for path in out.glob("*.png"):
        assert_picture(path)


def test_what_does_not_run_or_is_held_is_a_legitimate_end_of_a_demo_with_ones_own_files(tmp_path):
    size = {"rows": 300, "columns": 300, "spacing_mm": 1.2}
    frontal = make_radiograph(**size)
    hand = to_dataset(frontal, body_part_examined="HAND")
    twice = to_dataset(frontal, uid_entropy="another study")
    write(tmp_path / "study", [lateral(make_radiograph(**size, axis="lateral")), hand, twice])
    twice.PhotometricInterpretation, twice.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    twice.save_as(tmp_path / "study" / "negative.dcm", enforce_file_format=True)
    done = demo("study", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["complete"]
    assert (summary["sent"], summary["kept"], summary["objects"]) == (4, 3, 0)
    assert {study["state"] for study in summary["studies"]} == {"settled", "held"}
    assert "HAND" in said(done)
    assert "negative.dcm are versions of one image" in said(done)
    assert "2 of 2 studies without a result, for the reason above" in said(done)


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
    assert_picture(tmp_path / "out" / "key_image_lung-densitometry.png")
    volumes = {region["label"]: region["measurements"][0]["value"] for region in summary["findings"][0]["regions"]}
    assert 1200 < volumes["right lung"] < 1900
    assert 1200 < volumes["left lung"] < 1900
    assert volumes["opacity"] > 50


def test_real_x_rays_come_back_as_report_segmentation_and_picture(shared_data, tmp_path):
    folder = shared_data / "cxr_dicom"
    if not folder.is_dir():
        pytest.skip(f"no real X-rays: {folder} does not exist")
    study = tmp_path / "study"
    study.mkdir()
    for name in ("nih_dx_nofinding_google.dcm", "rsna_cr_pa_16d7f894.dcm"):
        (study / name).symlink_to(folder / name)
    done = demo(study, "--out", tmp_path / "out", cwd=tmp_path)
    summary = assert_complete(done, tmp_path / "out", instances=2, studies=2)
    assert len(summary["findings"]) == 2
    for name in ("key_image_lung-fields.png", "key_image_lung-fields_2.png"):
        assert_picture(tmp_path / "out" / name)
