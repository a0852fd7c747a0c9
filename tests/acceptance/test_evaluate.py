"""`opacity-node evaluate`: the command on phantoms whose truth is known, and on what it cannot use."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evaluation.run import Evaluation
from node.cli import app
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import lateral, to_dataset, turned
from phantom.dicom import write

REPOSITORY = Path(__file__).parents[2]
ORIENTATIONS = (("L", "F"), ("F", "L"))


def invoke(*arguments):
    given = ["evaluate", "--pipeline", "lung-fields", *map(str, arguments)]
    return CliRunner().invoke(app, given, env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Two X-rays that are stored in different orientations, with masks of both lungs; a lateral; one without truth."""
    folder = tmp_path_factory.mktemp("phantoms")
    made = [make_radiograph(rows=384, columns=384, spacing_mm=0.96, seed=seed) for seed in (11, 12)]
    for number, (phantom, orientation) in enumerate(zip(made, ORIENTATIONS, strict=True)):
        dataset = to_dataset(
            phantom, uid_entropy=f"e{number}", patient_orientation=orientation, patient_id=f"P{number}"
        )
        write(folder / "images", [dataset])
        for region, mask in (("right-lung", phantom.right_lung), ("left-lung", phantom.left_lung)):
            path = folder / "truth" / region / f"{dataset.SOPInstanceUID}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(turned(mask, orientation).astype(np.uint8) * np.uint8(255)).save(path)
    write(folder / "images", [lateral(made[0]), to_dataset(made[0], uid_entropy="without")])
    return folder


@pytest.fixture(scope="module")
def done(phantoms):
    out = phantoms / "out"
    result = invoke("--images", phantoms / "images", "--truth", phantoms / "truth", "--out", out)
    return result, out


def record(out):
    return json.loads((out / "evaluation.json").read_text())


def test_masks_that_were_planted_are_found_whichever_way_the_image_lies(done):
    result, out = done
    assert result.exit_code == 0, result.output
    found = record(out)
    regions = found["results"]["regions"]
    assert set(regions) == {"right lung", "left lung"}
    for region in regions.values():
        assert region["lowest"] > 0.93
        assert region["dice"]["images"] == 2
    assert re.search(r"Dice, right lung: 0\.9\d+", result.output)
    assert "Research use only" in result.output


def test_what_has_no_truth_or_is_not_read_is_listed_with_its_reason(done):
    found = record(done[1])
    assert {row["state"]: row["code"] for row in found["rows"]} == {
        "judged": "",
        "no-truth": "no-truth",
        "not-run": "not-frontal",
    }
    assert found["results"]["counts"]["judged"] == 2


def test_model_version_weights_and_settings_stand_in_the_record(done):
    found = record(done[1])
    assert found["schema"] == "opacity-node/evaluation/1"
    assert found["pipeline"]["name"] == "lung-fields"
    assert re.fullmatch(r"[0-9a-f]{64}", found["pipeline"]["weights_sha256"])
    assert found["truth"]["kind"] == "masks"
    assert found["settings"]["missed_weight"] == 30


def test_the_report_shows_the_worst_images_and_names_no_patient(done):
    _, out = done
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "Dice right lung" in page
    for told in ("Phantom", "PHANTOM"):
        assert told not in page
        assert told not in (out / "evaluation.json").read_text()
    assert {path.name for path in out.iterdir()} == {"report.html", "evaluation.json"}


def test_masks_that_are_shifted_are_seen_to_be(phantoms, done, tmp_path):
    for path in (phantoms / "truth").rglob("*.png"):
        moved = tmp_path / "truth" / path.parent.name / path.name
        moved.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(np.asarray(Image.open(path)), 40, axis=0)).save(moved)
    assert (
        invoke("--images", phantoms / "images", "--truth", tmp_path / "truth", "--out", tmp_path / "out").exit_code == 0
    )
    for region in record(tmp_path / "out")["results"]["regions"].values():
        assert region["dice"]["value"] < 0.87


def test_broken_off_it_writes_what_it_has_and_goes_on_from_there(phantoms, tmp_path, monkeypatch):
    command = ("--images", phantoms / "images", "--truth", phantoms / "truth", "--out", tmp_path / "out")
    judged = Evaluation._judged
    images = []

    def impatient(self, image, *rest):
        images.append(image.uid)
        if len(images) == 2:
            raise KeyboardInterrupt
        return judged(self, image, *rest)

    monkeypatch.setattr(Evaluation, "_judged", impatient)
    first = invoke(*command)
    assert first.exit_code == 130
    assert record(tmp_path / "out")["state"] == "broken off"
    assert "Broken off" in (tmp_path / "out" / "report.html").read_text()
    assert record(tmp_path / "out")["results"]["counts"]["judged"] == 1
    second = invoke(*command)
    assert second.exit_code == 0, second.output
    assert len(images) == 3  # the first image is not run again
    found = record(tmp_path / "out")
    assert (found["state"], found["results"]["counts"]["judged"]) == ("complete", 2)
    assert found["pipeline"]["weights_sha256"]
    assert not (tmp_path / "out" / "unfinished").exists()


def test_a_mask_of_another_size_costs_its_own_image_only(phantoms, tmp_path):
    shutil.copytree(phantoms / "truth", tmp_path / "truth")
    broken = sorted((tmp_path / "truth" / "right-lung").iterdir())[0]
    Image.new("L", (10, 10)).save(broken)
    result = invoke("--images", phantoms / "images", "--truth", tmp_path / "truth", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["results"]["counts"] == record(tmp_path / "out")["results"]["counts"]
    assert (found["results"]["counts"]["judged"], found["results"]["counts"]["refused"]) == (1, 1)
    assert any("10 x 10 pixels" in row["reason"] for row in found["rows"])


@pytest.fixture
def refused(phantoms, tmp_path):
    """Invoke with something wrong; it must end with status 2, say so, and leave nothing behind."""

    def run(*arguments, truth=None, images=None):
        result = invoke(
            *("--images", images or phantoms / "images", "--truth", truth or phantoms / "truth"),
            *("--out", tmp_path / "out", *arguments),
        )
        assert result.exit_code == 2, result.output
        assert not (tmp_path / "out" / "report.html").exists()
        return " ".join(result.output.split())

    return run


def table(tmp_path, text):
    (tmp_path / "truth.csv").write_text(text)
    return tmp_path / "truth.csv"


def test_truth_that_names_other_images_is_told_before_anything_runs(refused, tmp_path):
    (tmp_path / "masks").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "masks" / "patient7.png")
    said = refused(truth=tmp_path / "masks")
    assert "names no image: it has patient7" in said
    assert "Name the truth so" in said


def test_labels_say_nothing_about_lungs_and_no_lungs_about_a_score(refused, tmp_path):
    labels = table(tmp_path, "image,label\na,1\n")
    said = refused(truth=labels)
    assert "gives labels, and of lung-fields is judged: right lung, left lung" in said
    assert "--score" in said


def test_weights_are_not_made_of_labels(refused, tmp_path):
    labels = table(tmp_path, "image,label\na,1\n")
    said = refused("--pipeline", "opacity-ensemble", "--calibrate", truth=labels)
    assert "--calibrate needs masks, or boxes and --fill-boxes" in said


def test_pictures_without_a_header_are_no_images_and_the_page_says_what_to_do(refused, tmp_path):
    (tmp_path / "png").mkdir()
    Image.new("L", (400, 400)).save(tmp_path / "png" / "a.png")
    assert "docs/evaluation.md" in refused(images=tmp_path / "png")


def test_the_configuration_that_is_named_is_read(refused, tmp_path):
    (tmp_path / "other.toml").write_text("[storage]\nweigths = 'shelf'\n")
    assert "weigths" in refused("--config", tmp_path / "other.toml")


def test_a_folder_with_other_files_is_left_alone(refused, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.odt").touch()
    assert "holds files that no evaluation wrote" in refused()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--iou", "0.5;0.9"), "give overlaps between 0 and 1"),
        (("--iou", "0.9:0.5"), "give overlaps between 0 and 1"),
        (("--calibrate",), "lung-fields has no experts to calibrate"),
        (("--mask", "heart"), "gives none of 'heart'. It gives:"),
        (("--device", "tpu"), "--device tpu"),
        (("--pipeline", "lungs"), "there is no such pipeline"),
    ],
)
def test_an_argument_that_cannot_be_is_told_with_what_can(refused, tmp_path, phantoms, arguments, said):
    flat = tmp_path / "flat"
    shutil.copytree(phantoms / "truth" / "left-lung", flat)
    assert said in refused(*arguments, truth=flat)


def test_the_lines_of_the_page_make_images_of_pictures(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "evaluation.md").read_text(), flags=re.DOTALL)
    phantom = make_radiograph(rows=384, columns=385, spacing_mm=0.96, seed=13)
    for folder, pixels in (("pictures", phantom.pixels // 16), ("masks", phantom.right_lung | phantom.left_lung)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels.astype(np.uint8) * np.uint8(255 if folder == "masks" else 1)).save(
            tmp_path / folder / "patient7.png"
        )
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/evaluation.md", "exec"), {})  # noqa: S102 - it is ours, and this is its test
    result = invoke("--images", "images", "--truth", "masks")
    assert result.exit_code == 0, result.output
    found = record(tmp_path / "evaluation-lung-fields")["results"]["regions"]["right lung + left lung"]
    assert found["dice"]["value"] > 0.93


def test_the_help_tells_the_forms_of_truth():
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", invoke("--help").output).split())
    for form in ("DIR/IMAGE.png", "right-lung", "image,label", "patientId,x,y,width,height,Target", "Exit status"):
        assert form in said
