"""`opacity-node demo` as a newcomer runs it."""

import contextlib
import json
import signal
import subprocess
import sys
import time

import psutil
import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner

from node.cli import app
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


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Call a demo that must refuse, in this process; return what it said."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(app, ["demo", *arguments])
        assert done.exit_code == 2, done.output
        return said(done)

    return call


@pytest.fixture
def earlier(tmp_path):
    """A folder with results of an earlier demo."""
    (tmp_path / "out" / "pacs").mkdir(parents=True)
    (tmp_path / "out" / "node.log").touch()
    write(tmp_path / "out" / "pacs", [to_dataset(make_radiograph(rows=300, columns=300, spacing_mm=1.2))])
    (tmp_path / "out" / "summary.json").write_text("{}")
    return tmp_path / "out"


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


def test_without_a_study_it_sends_a_synthetic_ct_and_x_ray_and_shows_what_came_back(tmp_path, earlier):
    (stale,) = (earlier / "pacs").iterdir()
    done = demo("--out", "out", cwd=tmp_path)
    out = tmp_path / "out"
    assert not stale.exists()
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
    sent = {path.name: len(list(path.glob("*.dcm"))) for path in (out / "sent").iterdir()}
    assert sent == {"ct": summary["sent"] - 2, "x-ray": 2}
    assert "opacity-node send out/sent --to" in said(done)
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
    assert "nothing ran" in said(done)
    assert "What runs is not decided before a person has resolved why it is held." in said(done)
    assert not (tmp_path / "out" / "sent").exists()


def test_it_never_empties_a_folder_that_is_not_of_a_demo(tmp_path, refused):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert "choose another folder" in refused("--out", "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("content", [None, "notes.txt"])
def test_a_folder_without_dicom_files_is_named_and_no_folder_made(tmp_path, refused, content):
    (tmp_path / "study").mkdir()
    if content:
        (tmp_path / "study" / content).write_text("no DICOM here")
    assert "holds no DICOM file" in refused("study", "--out", "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("study", "complaint"),
    [("nowhere", "there is no such"), ("empty", "holds no DICOM file"), ("out/pacs", "which the demo makes anew")],
)
def test_a_study_that_cannot_be_sent_leaves_earlier_results_alone(tmp_path, refused, earlier, study, complaint):
    (tmp_path / "empty").mkdir()
    before = sorted(earlier.rglob("*"))
    assert complaint in refused(study, "--out", "out")
    assert sorted(earlier.rglob("*")) == before


def test_results_of_an_earlier_demo_within_the_study_are_no_part_of_it(refused, earlier):
    assert "holds no DICOM file" in refused(".", "--out", "out")
    assert (earlier / "summary.json").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path, refused):
    (tmp_path / "file").touch()
    assert "choose another folder" in refused("--out", "file")
    assert "cannot be made" in refused("--out", "file/out")


@pytest.fixture
def running(tmp_path):
    """A demo whose node listens, and that node's process."""
    write(tmp_path / "study", [to_dataset(make_radiograph(rows=300, columns=300, spacing_mm=1.2))])
    command = [sys.executable, "-m", "node", "demo", "study", "--out", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as demo:
        log = tmp_path / "out" / "node.log"
        deadline = time.monotonic() + 120
        nodes = []
        try:
            while not (log.is_file() and "this is process" in log.read_text()):
                assert demo.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            nodes = psutil.Process(demo.pid).children()
            (node,) = nodes
            yield demo, node
        finally:
            demo.kill()
            for node in nodes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    node.kill()


def test_ctrl_c_is_answered_at_once_and_leaves_no_node_behind(running):
    demo, node = running
    node.suspend()
    demo.send_signal(signal.SIGINT)
    assert any("stopping the node" in line for line in demo.stderr)
    assert demo.poll() is None
    node.resume()
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not node.is_running()


def test_a_node_that_somebody_else_ended_is_told_as_what_it_is(running):
    demo, node = running
    node.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 2
    assert "somebody else ended the node" in errors
    assert "node.log" in errors


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
