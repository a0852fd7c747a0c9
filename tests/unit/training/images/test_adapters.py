"""Data sets as Kaggle distributes them: what is read, what is left out, and where that is said."""

import json

import numpy as np
import pytest
from PIL import Image

from evaluation.boxes import Box
from phantom.cxr_dicom import turned
from tests.unit.training.images.folders import (
    RSNA_CLASSES,
    RSNA_LABELS,
    SICK,
    SIIM_IMAGES,
    SIIM_STUDIES,
    SIZE,
    write_image,
    write_rsna,
    write_siim,
)
from training.images import annotated, kinds, rsna, siim
from training.images.labelled import ImagesError, LabelledImage


def problems(images):
    return [str(problem) for problem in images.left_out]


def test_rsna_gives_labels_boxes_findings_and_patients(tmp_path):
    images = rsna.read(write_rsna(tmp_path, mapping={"clear": "00000001", "dense": "00000001", "sick": "00000002"}))
    clear, dense, sick = images.usable
    assert (clear.name, clear.is_opaque, clear.boxes, clear.finding) == ("clear", False, (), "Normal")
    assert dense.is_opaque
    assert dense.boxes == (Box(x=10, y=20, width=30.5, height=12), Box(x=50, y=5, width=20, height=40))
    assert (sick.is_opaque, sick.finding) == (False, SICK)
    assert clear.patient == dense.patient != sick.patient
    assert images.notes == images.left_out == ()
    assert images.told()["by_finding"] == {"Lung Opacity": 1, SICK: 1, "Normal": 1}


def test_without_its_mapping_rsna_says_that_patients_are_not_known(tmp_path):
    images = rsna.read(write_rsna(tmp_path))
    assert {image.patient for image in images.usable} == {"clear", "dense", "sick"}
    assert "each image counts as a patient of its own" in images.told()["notes"][0]


@pytest.mark.parametrize(
    ("changed", "row", "why"),
    [
        ((1, ("dense", "10", "twenty", "30", "12", "1")), 2, "x, y, width and height are not all numbers"),
        ((2, ("dense", "50", "5", "31", "40", "1")), None, None),
        ((2, ("dense", "50", "5", "32", "40", "1")), 3, "a box reaches beyond the image's 80 x 60 pixels"),
        ((2, ("dense", "50", "-1", "20", "40", "1")), 3, "a box lies outside the image, or has no size"),
        ((2, ("dense", "50", "5", "0", "40", "1")), 3, "a box lies outside the image, or has no size"),
        ((2, ("dense", "50", "5", "nan", "40", "1")), 3, "a box lies outside the image, or has no size"),
        ((2, ("dense", "", "", "", "", "1")), 3, "Target is 1, and there is no whole box"),
        ((2, ("dense", "50", "5", "20", "40", "0")), 3, "Target is 0, and there is a box"),
        ((2, ("dense", "", "", "", "", "0")), 2, "some of its rows say that there is opacity"),
        ((2, ("dense", "50", "5", "20", "40", "yes")), 3, "Target is neither 0 nor 1"),
        ((3, ("gone", "", "", "", "", "0")), 4, "stage_2_detailed_class_info.csv says nothing of it"),
    ],
    ids=str,
)
def test_rsna_leaves_out_an_image_with_a_bad_row_and_names_it(tmp_path, changed, row, why):
    place, values = changed
    labels = [values if number == place else one for number, one in enumerate(RSNA_LABELS)]
    images = rsna.read(write_rsna(tmp_path, labels=labels))
    if why is None:
        assert images.left_out == ()
        return
    (problem,) = images.left_out
    assert (problem.file, problem.row) == ("stage_2_train_labels.csv", row)
    assert problem.why.startswith(why)
    assert values[0] not in {image.name for image in images.usable}
    assert len(images.usable) == 2
    assert images.told()["left_out"] == [{"file": problem.file, "row": row, "why": problem.why}]


def test_rsna_leaves_out_what_its_two_tables_disagree_about_and_what_has_no_file(tmp_path):
    classes = [*RSNA_CLASSES[1:], ("clear", "Lung Opacity")]
    labels = [*RSNA_LABELS, ("gone", "", "", "", "", "0")]
    images = rsna.read(write_rsna(tmp_path, labels=labels, classes=[*classes, ("gone", "Normal")]))
    assert problems(images) == [
        f"{rsna.LABELS}, row 1: {rsna.CLASSES} calls it Lung Opacity, and its boxes say otherwise",
        f"{rsna.LABELS}, row 5: there is no file for it in stage_2_train_images",
    ]


def test_a_file_that_is_no_dicom_is_left_out(tmp_path):
    write_rsna(tmp_path)
    (tmp_path / "stage_2_train_images" / "sick.dcm").write_bytes(b"not one")
    assert problems(rsna.read(tmp_path)) == ["stage_2_train_labels.csv, row 4: its file is no DICOM file"]


def test_siim_names_boxes_after_the_class_of_the_study_and_keeps_patients_together(tmp_path):
    images = siim.read(write_siim(tmp_path))
    a, b, c = images.usable
    assert a.boxes == (Box(x=10.5, y=20.25, width=30, height=12.5, name="typical appearance"),)
    assert (b.is_opaque, b.boxes, b.finding) == (False, (), "Negative for Pneumonia")
    assert [box.name for box in c.boxes] == ["atypical appearance"] * 2
    assert (a.patient, b.patient, c.patient) == ("one", "other", "one")
    why = "its study is Typical Appearance, and it has no box: perhaps another image of the study has"
    assert problems(images) == [f"train_image_level.csv, row 4: {why}"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("c_image", "[{'x': 1.0}]", "opacity 1 1 2 4 6", "s3"), "boxes is no list of x, y, width and height"),
        (("c_image", "__import__('os').abort()", "", "s3"), "boxes is no list of x, y, width and height"),
        (("c_image", SIIM_IMAGES[2][1], "opacity 1 1 2 4 6", "s3"), "boxes and label do not say the same"),
        (("c_image", SIIM_IMAGES[0][1], "opacity 1 10.5 20.25 40.5 33", "s3"), "boxes and label do not say the same"),
        (("c_image", "", "opacity 1 1 2 4 6", "s3"), "boxes and label do not say the same"),
        (("c_image", *SIIM_IMAGES[2][1:3], "s2"), "it has boxes, and its study is Negative for Pneumonia"),
        (("c_image", *SIIM_IMAGES[2][1:3], "s1"), "its file lies in the folder of another study"),
        (("c_image", *SIIM_IMAGES[2][1:3], "s9"), "train_study_level.csv gives its study no class"),
        (("e_image", *SIIM_IMAGES[2][1:3], "s3"), "there is no file for it in s3"),
    ],
    ids=str,
)
def test_siim_leaves_out_an_image_with_a_bad_row_and_names_it(tmp_path, row, why):
    images = siim.read(write_siim(tmp_path, images=[*SIIM_IMAGES[:2], row]))
    assert problems(images) == [f"train_image_level.csv, row 3: {why}"]
    assert [image.name for image in images.usable] == ["a", "b"]


def test_siim_takes_the_same_row_twice_as_one_and_leaves_out_what_two_say_otherwise(tmp_path):
    assert len(siim.read(write_siim(tmp_path / "same", images=[*SIIM_IMAGES, SIIM_IMAGES[1]])).usable) == 3
    other = (*SIIM_IMAGES[2][:3], "s1")
    images = siim.read(write_siim(tmp_path / "other", images=[*SIIM_IMAGES[:3], other]))
    assert problems(images) == ["train_image_level.csv, row 4: another row says otherwise of the same image"]


def test_a_study_of_two_classes_leaves_its_images_out(tmp_path):
    studies = [*SIIM_STUDIES[:2], ("s3_study", 0, 1, 0, 1), ("s4_study", 1, 0, 0, 0)]
    images = siim.read(write_siim(tmp_path, studies=studies))
    assert images.notes == ("1 studies of train_study_level.csv have no image in train_image_level.csv.",)
    assert any("Atypical Appearance and Typical Appearance" in problem for problem in problems(images))


def test_a_plain_folder_gives_masks_and_patients(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    drawn = np.zeros(SIZE, dtype=np.uint8)
    drawn[10:20, 5:15] = 255
    for name, mask in (("one", drawn), ("two", 0 * drawn)):
        Image.new("L", SIZE[::-1], 90).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    write_image(tmp_path / "images" / "three.dcm", patient_id="P3")
    Image.fromarray(drawn).save(tmp_path / "masks" / "three.png")
    Image.new("L", (3, 3)).save(tmp_path / "images" / "four.png")
    (tmp_path / "patients.csv").write_text("image,patient\none,A\ntwo,A\n")
    images = annotated.read(tmp_path)
    assert {image.name: (image.patient, image.is_opaque) for image in images.usable} == {
        "one": ("A", True),
        "three": ("P3", True),
        "two": ("A", False),
    }
    assert problems(images) == [
        "images/four.png: it has no mask: masks/four.png is missing; a black one says that there is no opacity"
    ]
    assert images.usable[0].read().opacity.sum() == 100


def test_an_image_its_boxes_and_its_masks_are_turned_upright_together(tmp_path):
    lie = ("F", "R")
    path = write_image(tmp_path / "turned.dcm", patient_orientation=lie)
    upright = LabelledImage(
        name="upright", patient="", path=write_image(tmp_path / "upright.dcm"), finding="", is_opaque=True
    ).read()
    marked = np.zeros(SIZE, dtype=bool)
    marked[10:20, 30:70] = True
    stored = turned(marked, lie)
    rows, columns = np.nonzero(stored)
    box = Box(x=columns.min(), y=rows.min(), width=np.ptp(columns) + 1, height=np.ptp(rows) + 1)
    Image.fromarray(stored).save(tmp_path / "mask.png")
    image = LabelledImage(name="turned", patient="", path=path, finding="", is_opaque=True, boxes=(box,))
    read = image.read(tmp_path / "mask.png")
    assert (read.opacity == marked).all()
    assert (read.others[0] == marked).all()
    assert (read.pixels == upright.pixels).all()


def test_what_is_known_and_the_mask_change_the_digest(tmp_path):
    Image.new("L", SIZE[::-1]).save(tmp_path / "mask.png")
    image = LabelledImage(
        name="x",
        patient="p",
        path=write_image(tmp_path / "x.dcm"),
        finding="",
        is_opaque=True,
        mask=tmp_path / "mask.png",
    )
    first = image.digest
    assert image.digest == first
    Image.new("L", SIZE[::-1], 255).save(tmp_path / "mask.png")
    assert image.digest != first


def test_a_folder_is_known_by_its_tables_and_any_other_is_refused(tmp_path):
    assert kinds.read(write_rsna(tmp_path / "rsna")).origin == rsna.ORIGIN
    assert kinds.read(write_siim(tmp_path / "siim")).origin == siim.ORIGIN
    with pytest.raises(ImagesError, match=r"holds neither stage_2_train_labels\.csv, nor train_image_level\.csv"):
        kinds.read(tmp_path)
    (tmp_path / "rsna" / "stage_2_train_labels.csv").write_text("patientId,Target\nclear,0\n")
    with pytest.raises(ImagesError, match="has no column x, y, width, height"):
        kinds.read(tmp_path / "rsna")
    (tmp_path / "rsna" / "stage_2_train_labels.csv").write_text("patientId,x,y,width,height,Target\nclear,,,,,2\n")
    with pytest.raises(ImagesError, match=r"has no image that can be used\. .*row 1: Target is neither 0 nor 1"):
        kinds.read(tmp_path / "rsna")


def test_a_mapping_of_another_form_is_refused(tmp_path):
    write_rsna(tmp_path, mapping={})
    (tmp_path / rsna.MAPPING).write_text(json.dumps({"a": 1}))
    with pytest.raises(ImagesError, match="does not list subset_img_id and img_id"):
        rsna.read(tmp_path)
