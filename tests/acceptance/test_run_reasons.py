"""`opacity-node run`: what is said of images and arguments that do not run."""

import errno
import json
import os
import re
from pathlib import Path

import pydicom
import pytest

from inference.weights import manifest, shelf
from node import worker
from node.offline import export
from phantom.cxr_dicom import lateral, to_dataset
from phantom.dicom import write
from tests.acceptance.runs import chest_xray, invoke, rows


def test_files_that_differ_under_one_uid_are_both_left_out(frontal, tmp_path):
    other = pydicom.dcmread(frontal)
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(frontal.parent / "other.dcm")
    done = invoke(frontal.parent, "--pipeline", "lung-fields", "--out", tmp_path / "out")
    assert done.exit_code == 3
    found = rows(tmp_path / "out")
    assert [row["code"] for row in found] == ["conflict", "conflict"]
    assert str(frontal) in found[0]["reason"] + found[1]["reason"]
    assert "Take one of them away" in done.output


def test_images_of_two_patients_under_one_study_uid_each_run(two_patients, tmp_path):
    done = invoke(two_patients, "--pipeline", "lung-fields", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    patients = {
        pydicom.dcmread(path, specific_tags=["PatientID"]).PatientID for path in (tmp_path / "out").glob("*/sr-1.dcm")
    }
    assert patients == {"A", "B"}


def test_an_image_that_fails_does_not_end_the_run(two_patients, tmp_path, monkeypatch, caplog):
    real, calls = worker.infer, []

    def infer(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("cannot decode Doe^Jane\x1b[2J")
        return real(*arguments)

    monkeypatch.setattr(worker, "infer", infer)
    done = invoke(two_patients, "--pipeline", "lung-fields", "--out", tmp_path / "out")
    assert done.exit_code == 1
    found = {row["state"]: row for row in rows(tmp_path / "out")}
    assert found["failed"]["reason"].startswith(
        "RuntimeError while it was read or worked on. Run it with OPACITY_NODE_LOG__LEVEL=DEBUG"
    )
    assert "Doe^Jane" not in done.output + (tmp_path / "out/summary.csv").read_text()
    assert "Doe^Jane" not in (tmp_path / "out/run.json").read_text() + caplog.text
    assert found["succeeded"]["folder"]


def test_what_an_exception_says_is_logged_for_who_asks(frontal, tmp_path, monkeypatch, caplog):
    def infer(*_):
        raise RuntimeError("cannot decode Doe^Jane\x1b[2J")

    monkeypatch.setattr(worker, "infer", infer)
    monkeypatch.setenv("OPACITY_NODE_LOG__LEVEL", "DEBUG")
    assert invoke(frontal, "--pipeline", "lung-fields", "--out", tmp_path / "out").exit_code == 1
    assert "RuntimeError: cannot decode Doe^Jane\\x1b[2J" in caplog.text
    assert "\x1b" not in caplog.text


def test_headers_and_file_names_cannot_command_a_terminal_or_a_spreadsheet(tmp_path, monkeypatch):
    hostile = {"body_part_examined": "\x1b]0;LEG\x07", "series_description": "[/x]\x9b2J"}
    (side,) = write(tmp_path / "=cmd|calc", [lateral(chest_xray(), modality="CR", **hostile)])
    image = pydicom.dcmread(side)
    image.Modality, image.SOPInstanceUID = "=1+1", "1.2.3"
    image.save_as(side.with_name("a\x1b[31m\nb.dcm"))
    monkeypatch.chdir(tmp_path)
    done = invoke("=cmd|calc", "--pipeline", "lung-fields", "--out", "out")
    assert done.exit_code == 3, done.output
    written = done.output + "".join(path.read_text() for path in Path("out").glob("*.*"))
    assert re.findall(r"[^\n\x20-\x7e\u00b7\u2026\u2501]", written) == []
    assert r"\x9b2J" in written
    found = {row["modality"]: row["path"] for row in rows(Path("out"))}
    assert found == {"CR": str(side), "'=1+1": str(side.with_name(r"a\x1b[31m\nb.dcm"))}


def test_a_label_that_looks_like_markup_and_a_name_that_is_no_text_run(tmp_path):
    (image,) = write(tmp_path / "xray", [to_dataset(chest_xray(), series_description="[/x] \x1b[31m")])
    image.rename(os.fsdecode(os.fsencode(image.parent) + b"/\xe9.dcm"))
    done = invoke(image.parent, "--pipeline", "lung-fields", "--out", tmp_path / "out", "--maps", "none")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "out")[0]["path"] == str(image.with_name(r"\udce9.dcm"))


def test_a_full_disk_ends_the_run_with_what_is_whole(two_patients, tmp_path, monkeypatch):
    real, calls = export.write_masks, []

    def write_masks(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(export, "write_masks", write_masks)
    out = tmp_path / "out"
    done = invoke(two_patients, "--pipeline", "lung-fields", "--out", out)
    assert done.exit_code == 1
    assert "takes no more: No space left on device" in done.output
    assert "Traceback" not in done.output
    assert len(list(out.glob("*/findings.json"))) == 1
    assert not list(out.glob("*.part"))
    assert json.loads((out / "run.json").read_text())["state"] == "broken off"
    assert [row["state"] for row in rows(out)] == ["succeeded"]


def test_nothing_that_fits_says_why_with_a_status_of_its_own(tmp_path):
    write(tmp_path / "side", [lateral(chest_xray())])
    done = invoke(tmp_path / "side", "--pipeline", "lung-fields", "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert "not-run" in done.output


def test_weights_that_are_gone_are_named_with_the_remedy(frontal, tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "SHIPPED", tmp_path / "nowhere")
    shelf.forget()
    done = invoke(frontal, "--pipeline", "lung-fields", "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert "Weights are not installed: lung-fields." in done.output
    assert manifest.SLOTS["lung-fields"].command in done.output
    assert "rerun" not in done.output, "that is of a node's jobs"


def test_a_named_configuration_says_where_weights_lie(frontal, tmp_path):
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / manifest.SLOTS["xrv-densenet121-all"].file).write_bytes(b"wrong")
    (tmp_path / "other.toml").write_text(f'[storage]\nweights = "{tmp_path / "shelf"}"\n')
    arguments = (frontal, "--pipeline", "opacity-ensemble", "--out", tmp_path / "out")
    assert "6 of 7 weights of opacity-ensemble are missing" in invoke(*arguments).output
    done = invoke(*arguments, "--config", tmp_path / "other.toml")
    assert done.exit_code == 3
    assert "has 5 bytes, expected" in done.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--pipeline": "lungs"}, "there is no such pipeline; there are: lung-densitometry, lung-fields"),
        ({"study": "nowhere"}, "there is no such file or folder"),
        ({"study": "empty"}, "holds no DICOM file"),
        ({"--device": "gpu"}, "give cpu, cuda, cuda:0"),
        ({"--device": "cuda:99"}, "--device cpu runs everywhere"),
        ({"--out": "file.txt"}, "name a folder with --out"),
    ],
)
def test_a_wrong_argument_is_answered_with_what_to_do(changes, said, frontal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    options = {"--pipeline": "lung-fields", "--out": "out", **changes}
    place = options.pop("study", frontal)
    done = invoke(place, *(word for option in options.items() for word in option))
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output
