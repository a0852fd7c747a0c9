"""What the networks are shown, where lungs are few, one-sided or at the edge."""

from dataclasses import replace

import numpy as np
import pytest

from inference.balaitous.framing import crop_or_pad, keep_lung_slices
from inference.balaitous.preparation import MIN_LUNG_SLICES, prepare
from inference.balaitous.scan import Scan, from_scan, to_scan
from inference.findings import SelectionRefusedError
from inference.geometry import Geometry
from inference.resampled_ct import SPACING_MM, ResampledCT

GEOMETRY = Geometry(
    origin_mm=(0.0, 0.0, 0.0),
    row_direction=(1.0, 0.0, 0.0),
    column_direction=(0.0, 1.0, 0.0),
    slice_direction=(0.0, 0.0, 1.0),
    spacing_mm=SPACING_MM,
)


def ct(slices=30, *, first=8, count=14, size=(60, 80)):
    """Return two lungs of air in a block of water."""
    labels = np.zeros((slices, *size), dtype=np.uint8)
    labels[first : first + count, 20:40, 10:30] = 1
    labels[first : first + count, 20:40, 50:70] = 2
    hounsfield = np.where(labels > 0, -850, 0).astype(np.int16)
    return ResampledCT(
        hounsfield=hounsfield,
        labels=labels,
        geometry=GEOMETRY,
        source_shape=labels.shape,
        source_geometry=GEOMETRY,
        weights_sha256="",
    )


@pytest.mark.parametrize("count", range(MIN_LUNG_SLICES, 16))
def test_enough_lung_always_leaves_slices_to_look_at(count):
    prepared = prepare(ct(count=count))
    kept = int((count - 1) * 0.9) - int((count - 1) * 0.1)
    assert prepared.slices == kept >= 7
    assert prepared.full.lungs.any(axis=(0, 1)).all()


def test_one_slice_less_is_refused():
    with pytest.raises(SelectionRefusedError) as refused:
        prepare(ct(count=MIN_LUNG_SLICES - 1))
    assert refused.value.refusal.code == "few-lung-slices"


def test_three_slices_are_the_least_of_which_the_package_keeps_one():
    for count, kept in ((2, 0), (3, 1)):
        few = to_scan(ct(count=count))
        assert keep_lung_slices(crop_or_pad(few)).lungs.shape[2] == kept


def test_a_single_lung_is_read_and_the_reader_is_told():
    whole = ct()
    prepared = prepare(replace(whole, labels=np.where(whole.labels == 1, 1, 0).astype(np.uint8)))
    assert prepared.warnings == ("No left lung was found: all that is said is of the other alone.",)


def test_lungs_without_air_are_no_lungs():
    whole = ct()
    with pytest.raises(SelectionRefusedError) as refused:
        prepare(replace(whole, hounsfield=np.zeros_like(whole.hounsfield)))
    assert refused.value.refusal.code == "no-lungs-found"


def test_lungs_too_far_apart_to_be_framed_are_refused():
    whole = ct(size=(400, 400))
    labels = np.zeros_like(whole.labels)
    labels[8:22, 5:25, 5:25], labels[8:22, 375:395, 375:395] = 1, 2
    with pytest.raises(SelectionRefusedError) as refused:
        prepare(replace(whole, labels=labels, hounsfield=np.full_like(whole.hounsfield, -850)))
    assert refused.value.refusal.reason == "Lung was found on 0 slices of 5 mm; at least 10 are needed."


def test_labels_stay_those_of_their_sides_where_lungs_were_kept():
    whole = ct()
    crumbs = whole.labels.copy()
    crumbs[2, 2:4, 2:4] = 2
    assert np.array_equal(prepare(replace(whole, labels=crumbs)).labels, whole.labels)


def test_axes_go_there_and_back_and_rows_are_reversed():
    whole = ct()
    scan = to_scan(whole)
    assert scan.hounsfield.shape == (60, 80, 30)
    assert np.array_equal(scan.hounsfield[0, :, 8], whole.hounsfield[8, -1])
    assert np.array_equal(from_scan(scan.lungs > 0), whole.labels > 0)


@pytest.mark.parametrize("size", [(60, 80), (225, 224), (301, 223), (224, 400)])
def test_frames_are_224_pixels_and_hold_the_lungs(size):
    framed = crop_or_pad(to_scan(ct(size=size)))
    assert framed.hounsfield.shape == framed.lungs.shape == (224, 224, 30)
    assert np.count_nonzero(framed.lungs) == np.count_nonzero(ct(size=size).labels)


def test_what_is_added_is_air_without_lung():
    framed = crop_or_pad(Scan(hounsfield=np.zeros((224, 101, 12), dtype=np.int16), lungs=np.ones((224, 101, 12), bool)))
    assert set(framed.hounsfield[:, :61].ravel()) == {-1024}
    assert set(framed.hounsfield[:, 61:162].ravel()) == {0}
    assert not framed.lungs[:, 162:].any()
