"""Folders of masks: which is of which image, and that none is taken that is of another size or place."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from evaluation.rows import Image as Examined
from evaluation.truth import Kind, TruthError, read_truth
from evaluation.truth.masks import read_mask
from evaluation.truth.matching import match
from inference import series
from inference.findings import SelectionRefusedError
from inference.radiograph import load
from node.offline.export import write_volume
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.radiographs import write_xray

LUNGS = ("right lung", "left lung")


def png(path, shape=(8, 10), at=(2, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(shape, dtype=np.uint8)
    pixels[at] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def radiograph(tmp_path):
    return load(write_xray(tmp_path / "x.dcm", np.arange(80, dtype=np.uint16).reshape(8, 10)))


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    chest = make_chest(slices=24, rows=40, columns=48, spacing_mm=(12.0, 9.0, 8.0))
    return series.load(write(tmp_path_factory.mktemp("ct"), to_datasets(chest)))


def names_in(folder, regions=LUNGS):
    known = read_truth(folder, regions)
    assert known.kind is Kind.MASKS
    return {image: {r: p.relative_to(folder).as_posix() for r, p in t.masks.items()} for image, t in known.of.items()}


def test_a_mask_alone_is_of_all_regions_and_its_name_may_be_a_uid(tmp_path):
    png(tmp_path / "1.2.826.0.1.dcm.png")
    png(tmp_path / "scan.b.png")
    assert names_in(tmp_path) == {"1.2.826.0.1": {"": "1.2.826.0.1.dcm.png"}, "scan.b": {"": "scan.b.png"}}


def test_a_mask_in_a_folder_of_a_region_is_of_this_region(tmp_path):
    for region in ("right-lung", "left-lung", "heart"):
        png(tmp_path / region / "a.png")
    assert names_in(tmp_path) == {"a": {"right-lung": "right-lung/a.png", "left-lung": "left-lung/a.png"}}


def test_the_folders_that_run_writes_are_truth_once_a_person_corrected_them(tmp_path):
    png(tmp_path / "1.2.3" / "mask-right-lung.png")
    png(tmp_path / "1.2.3" / "key-image-1.png")
    assert names_in(tmp_path) == {"1.2.3": {"right-lung": "1.2.3/mask-right-lung.png"}}


def test_masks_of_all_and_of_single_regions_are_not_mixed(tmp_path):
    png(tmp_path / "a.png")
    png(tmp_path / "right-lung" / "b.png")
    with pytest.raises(TruthError, match="mixes"):
        read_truth(tmp_path, LUNGS)


def test_two_masks_of_one_image_are_told(tmp_path):
    png(tmp_path / "a.png")
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(TruthError, match="take one of them away"):
        read_truth(tmp_path, LUNGS)


def test_a_folder_without_masks_says_how_they_are_to_be_called(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(TruthError, match=r"right-lung/IMAGE\.png"):
        read_truth(tmp_path, LUNGS)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "I;16", "LA", "RGBA"])
def test_whatever_is_not_black_belongs_to_the_region(tmp_path, radiograph, mode):
    expected = np.zeros((8, 10), dtype=bool)
    expected[2:4, 5] = True
    values = np.where(expected, 3, 0).astype(np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values * np.uint8(85)).convert(mode)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", radiograph)[0], expected)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path, radiograph):
    with pytest.raises(SelectionRefusedError, match=r"10 x 8 pixels, the image 8 x 10") as raised:
        read_mask(png(tmp_path / "m.png", shape=(10, 8)), radiograph)
    assert raised.value.refusal.code == "truth-of-other-size"


def test_a_mask_that_is_no_picture_is_refused(tmp_path, radiograph, ct):
    broken = tmp_path / "m.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    for source in (radiograph, ct):
        with pytest.raises(SelectionRefusedError, match="cannot be read"):
            read_mask(broken, source)


@pytest.fixture
def lesion(ct):
    mask = np.zeros(ct.pixel_array.shape, dtype=bool)
    mask[3:6, 10:20, 30:35] = True
    return mask


def test_a_volume_lies_where_the_ct_lies(tmp_path, ct, lesion):
    write_volume(lesion.astype(np.uint8), ct.geometry, tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.nii.gz", ct), lesion)


def test_a_volume_whose_axes_run_the_other_way_is_turned(tmp_path, ct, lesion):
    write_volume(lesion.astype(np.uint8), ct.geometry, tmp_path / "m.nii.gz")
    turned = SimpleITK.Flip(SimpleITK.ReadImage(str(tmp_path / "m.nii.gz")), [True, False, True])
    turned = SimpleITK.PermuteAxes(turned, [2, 0, 1])
    SimpleITK.WriteImage(turned, str(tmp_path / "turned.nii.gz"))
    np.testing.assert_array_equal(read_mask(tmp_path / "turned.nii.gz", ct), lesion)


def test_a_volume_in_another_place_is_refused(tmp_path, ct, lesion):
    write_volume(lesion.astype(np.uint8), ct.geometry, tmp_path / "m.nii.gz")
    moved = SimpleITK.ReadImage(str(tmp_path / "m.nii.gz"))
    moved.SetOrigin(np.add(moved.GetOrigin(), (0, 0, 12)))
    SimpleITK.WriteImage(moved, str(tmp_path / "moved.nii.gz"))
    with pytest.raises(SelectionRefusedError, match="different places"):
        read_mask(tmp_path / "moved.nii.gz", ct)


def examined(*names):
    return Examined(paths=(Path(f"/images/{names[-1]}"),), uid=names[0], names=names, patient=1)


def test_truth_is_found_by_uid_first_and_what_is_left_over_is_told(tmp_path):
    for name in ("1.2.3", "b", "c"):
        png(tmp_path / f"{name}.png")
    images = [examined("1.2.3", "b"), examined("1.2.4", "nowhere")]
    matched = match(images, read_truth(tmp_path, ("opacity",)))
    assert [(image.uid, truth.masks[""].name) for image, truth in matched.pairs] == [("1.2.3", "1.2.3.png")]
    assert matched.without == (images[1],)
    assert matched.unused == ("b", "c")


def test_truth_that_names_no_image_shows_names_of_both(tmp_path):
    png(tmp_path / "patient-7.png")
    known = read_truth(tmp_path, ("opacity",))
    with pytest.raises(TruthError, match=r"it has patient-7, .*; the first image is 1\.2\.3 or IM0001"):
        match([examined("1.2.3", "IM0001")], known)


def test_a_name_that_two_images_have_is_no_truth_of_either(tmp_path):
    png(tmp_path / "IM0001.png")
    known = read_truth(tmp_path, ("opacity",))
    with pytest.raises(TruthError, match="may mean"):
        match([examined("1.2.3", "IM0001"), examined("1.2.4", "IM0001")], known)
