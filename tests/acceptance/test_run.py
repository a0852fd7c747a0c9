"""`opacity-node run`: what it writes, from a folder of anything, without a server."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from inference.weights import manifest
from phantom.ct import make_chest
from phantom.cxr_dicom import lateral, to_dataset
from phantom.dicom import localizer, to_datasets, write
from tests.acceptance.runs import chest_xray, findings_in, invoke, rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A CT with its scout, a frontal and a lateral X-ray, one of them twice, and what is no image."""
    folder = tmp_path_factory.mktemp("study")
    chest = make_chest(slices=58, rows=128, columns=128, spacing_mm=(5.0, 2.8, 2.8))
    write(folder / "ct", [localizer(chest), *to_datasets(chest)])
    frontal, _ = write(folder / "deep/xray", [to_dataset(chest_xray()), lateral(chest_xray())])
    shutil.copy(frontal, folder / "zz-copy.dcm")
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0\xff")
    return folder


@pytest.fixture(scope="module")
def ct(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("ct") / "out"
    return invoke(study, "--pipeline", "lung-densitometry", "--out", out), out


@pytest.fixture(scope="module")
def xray(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("xray") / "out"
    return invoke(study, "--pipeline", "lung-fields", "--out", out), out


def test_the_ct_that_fits_is_run_and_all_else_is_named_with_its_reason(ct, study):
    done, out = ct
    assert done.exit_code == 0, done.output
    found = {(row["state"], row["code"]): row for row in rows(out)}
    assert found["succeeded", ""]["images"] == "58"
    assert found["succeeded", ""]["path"] == str(study / "ct")
    assert found["not-run", "localizer"]["reason"] == "A localizer (scout), not a volume."
    assert found["not-run", "not-ct-image"]["modality"] == "DX"
    assert found["left-out", "unreadable"]["path"] == str(study / "broken.dcm")
    original = study / "deep/xray" / f"{to_dataset(chest_xray()).SOPInstanceUID}.dcm"
    assert found["left-out", "duplicate"]["reason"] == f"The same file as {original}."
    for said in ("succeeded", "A localizer (scout), not a volume.", "Emphysema index", "Research use only"):
        assert said in done.output


def test_headline_numbers_stand_in_the_table_with_their_units(ct):
    found, _ = findings_in(ct[1])
    (row,) = (row for row in rows(ct[1]) if row["state"] == "succeeded")
    for name, value in (
        ("Volume [mL]", found["measurements"][0]["value"]),
        ("left lung: Volume [mL]", found["regions"][1]["measurements"][0]["value"]),
    ):
        assert float(row[name]) == pytest.approx(value)


def test_masks_of_a_ct_lie_where_simpleitk_sees_the_ct(ct, study):
    found, folder = findings_in(ct[1])
    reader = SimpleITK.ImageSeriesReader()
    series = found["source"]["series_instance_uid"]
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(study / "ct"), series))
    hounsfield = reader.Execute()
    for region in found["regions"]:
        mask = SimpleITK.ReadImage(folder / region["mask"])
        assert mask.GetSize() == hounsfield.GetSize()
        for own, theirs in (
            (mask.GetOrigin(), hounsfield.GetOrigin()),
            (mask.GetSpacing(), hounsfield.GetSpacing()),
            (mask.GetDirection(), hounsfield.GetDirection()),
        ):
            assert own == pytest.approx(theirs, abs=1e-4)
        inside = SimpleITK.GetArrayFromImage(mask) > 0
        millilitres = inside.sum() * np.prod(mask.GetSpacing()) / 1000
        assert region["measurements"][0]["value"] == pytest.approx(millilitres, rel=1e-4)
        assert set(np.unique(SimpleITK.GetArrayFromImage(mask))) <= {0, 1}
    right = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / "mask-right-lung.nii.gz")) > 0
    mean = SimpleITK.GetArrayFromImage(hounsfield)[right].mean()
    assert found["regions"][0]["measurements"][1]["value"] == pytest.approx(mean, abs=0.01)


def test_the_map_of_a_ct_lies_on_the_ct_and_within_its_range(ct):
    found, folder = findings_in(ct[1])
    (heatmap,) = found["maps"]
    image = SimpleITK.ReadImage(folder / heatmap["file"])
    assert image.GetPixelID() == SimpleITK.sitkFloat32
    assert image.GetSize()[::-1] == tuple(found["source"]["shape"])
    values, (low, high) = SimpleITK.GetArrayFromImage(image), heatmap["range"]
    assert low <= values.min()
    assert low + 0.5 * (high - low) < values.max() <= high
    opacity = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / "mask-opacity.nii.gz")) > 0
    assert values[opacity].mean() > 10 * values[~opacity].mean()


def test_every_object_is_listed_and_there_in_the_study_of_its_source(ct):
    found, folder = findings_in(ct[1])
    assert {item["path"] for item in found["objects"]} == {path.name for path in folder.glob("*.dcm")}
    assert {item["kind"] for item in found["objects"]} == {"seg", "sr", "map", "key-image"}
    for item in found["objects"]:
        dataset = pydicom.dcmread(folder / item["path"], stop_before_pixels=True)
        assert dataset.SOPInstanceUID == item["sop_instance_uid"]
        assert dataset.StudyInstanceUID == found["source"]["study_instance_uid"]
    (picture,) = found["pictures"]
    shown = pydicom.dcmread(folder / "key-image-1.dcm").pixel_array
    np.testing.assert_array_equal(np.asarray(Image.open(folder / picture)), shown)


def test_findings_say_what_ran_on_what_with_codes_units_and_warnings(ct):
    found, _ = findings_in(ct[1])
    assert found["schema"] == "opacity-node/findings/1"
    assert found["research_use_only"] is True
    assert found["algorithm"]["name"] == "lung-densitometry"
    assert found["algorithm"]["weights_sha256"] is None
    assert len(found["source"]["sop_instance_uids"]) == len(found["source"]["files"]) == 58
    assert found["measurements"][0]["code"] == {"value": "118565006", "scheme": "SCT", "meaning": "Volume"}
    assert found["measurements"][0]["unit"] == "mL"
    assert found["regions"][0]["site"]["laterality"]["meaning"] == "Right"
    assert any("Classical lung mask" in warning for warning in found["warnings"])


def test_the_page_names_every_field_of_findings(ct):
    found, _ = findings_in(ct[1])
    page = (Path(__file__).parents[2] / "docs/run.md").read_text()
    named = set(re.findall(r"`([a-z_0-9]+)`", page))
    assert set(found) <= named
    assert set(found["source"]) | set(found["regions"][0]) | set(found["measurements"][0]) <= named


def test_the_page_shows_how_to_read_it(ct):
    page = (Path(__file__).parents[2] / "docs/run.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    found, folder = findings_in(ct[1])
    names: dict[str, object] = {}
    exec(block.replace("results/UID", str(folder)), names)  # noqa: S102 - our own page
    assert names["found"] == found
    assert names["mask"].sum() > 1000


def test_the_frontal_x_ray_is_run_and_the_lateral_is_not(xray):
    done, out = xray
    assert done.exit_code == 0, done.output
    states = {(row["state"], row["code"]) for row in rows(out)}
    assert ("succeeded", "") in states
    (side,) = (row for row in rows(out) if "lateral" in row["stack"].lower())
    assert side["state"] == "not-run"
    assert side["reason"]


def test_masks_of_an_x_ray_are_pictures_of_its_lungs_on_its_own_pixels(xray):
    found, folder = findings_in(xray[1])
    assert folder.name == found["source"]["sop_instance_uids"][0]
    for region, truth in zip(found["regions"], (chest_xray().right_lung, chest_xray().left_lung), strict=True):
        mask = np.asarray(Image.open(folder / region["mask"]))
        assert mask.shape == truth.shape
        assert set(np.unique(mask)) == {0, 255}
        dice = 2 * (truth & (mask > 0)).sum() / (truth.sum() + (mask > 0).sum())
        assert dice > 0.8
        area = (mask > 0).sum() * np.prod(found["source"]["spacing_mm"])
        assert region["measurements"][0]["value"] == pytest.approx(area, rel=1e-4)


def test_weights_are_named_by_their_hash(xray):
    found, _ = findings_in(xray[1])
    assert found["algorithm"]["weights_sha256"] == manifest.SLOTS["lung-fields"].pin.value


def test_run_json_counts_and_says_that_it_is_complete(xray):
    record = json.loads((xray[1] / "run.json").read_text())
    assert record["state"] == "complete"
    assert record["pipeline"] == "lung-fields"
    assert record["counts"]["succeeded"] == 1
    assert record["counts"]["not-dicom"] == 1
    assert sum(record["counts"].values()) == len(record["rows"]) + 1


def test_own_results_are_never_read(ct, tmp_path):
    done = invoke(ct[1], "--pipeline", "lung-densitometry", "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert {row["code"] for row in rows(tmp_path / "out")} == {"own-result"}


def test_one_file_is_enough_and_a_script_gets_json(frontal, tmp_path):
    done = invoke(frontal, "--pipeline", "lung-fields", "--out", tmp_path / "out", "--maps", "none", "--json")
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert record["rows"][0]["numbers"]["right lung: Area [mm2]"] > 5000
    found, folder = findings_in(tmp_path / "out")
    assert found["maps"] == []
    assert not list(folder.glob("map-*"))


def test_a_coarse_map_has_the_grid_of_the_network_in_the_place_of_the_image(frontal, tmp_path):
    done = invoke(frontal, "--pipeline", "lung-fields", "--out", tmp_path / "out", "--maps", "coarse")
    assert done.exit_code == 0, done.output
    found, folder = findings_in(tmp_path / "out")
    image = SimpleITK.ReadImage(folder / found["maps"][0]["file"])
    assert image.GetSize() == (256, 256, 1)
    extent_mm = np.array(image.GetSize()[:2]) * image.GetSpacing()[:2]
    assert extent_mm == pytest.approx([512 * 0.72] * 2, rel=0.01)
