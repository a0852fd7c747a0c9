import itertools
from dataclasses import replace

import pytest

from inference.card import CTInput, KernelPreference, ModelCard
from node.selection import select, selection_hash
from node.stacks import split
from tests.unit.node.headers import axial

SOFT = ModelCard(
    name="test",
    version="1",
    title="",
    purpose="",
    output="",
    input=CTInput(thickness_mm=(0.3, 6.0), kernel=KernelPreference.SOFT),
)


def chosen(headers, card=SOFT):
    choices = select(split(headers), card)
    return [c for c in choices if c.runs], {c.stack.first.series_instance_uid: c for c in choices}


def test_scout_lung_kernel_soft_kernel_reformat_and_report_give_one_run_on_the_soft_stack():
    scout = axial("1.1", count=1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), series_number=1)
    lung = axial("1.2", count=300, step=1.0, convolution_kernel="B70f", series_number=2)
    soft = axial("1.3", count=60, step=5.0, convolution_kernel="B30f", series_number=3)
    coronal = axial(
        "1.4",
        image_type=("DERIVED", "SECONDARY", "MPR"),
        image_orientation_patient=(1, 0, 0, 0, 0, -1),
        series_number=4,
    )
    report = axial(
        "1.5",
        count=1,
        modality="SR",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67",
        image_position_patient=None,
        image_orientation_patient=None,
        pixel_spacing=None,
    )
    runs, by_series = chosen([*scout, *lung, *soft, *coronal, *report])
    assert [c.stack.first.series_instance_uid for c in runs] == ["1.3"]
    assert {uid: c.code for uid, c in by_series.items()} == {
        "1.1": "localizer",
        "1.2": "not-best",
        "1.3": "selected",
        "1.4": "reformat",
        "1.5": "not-ct-image",
    }
    assert "sharp kernel, soft wanted" in by_series["1.2"].reason


def test_the_choice_does_not_depend_on_the_order_of_series():
    stacks = [
        axial("1.2", step=1.0, count=300, convolution_kernel="LUNG"),
        axial("1.3"),
        axial("1.4", step=2.5, count=120),
    ]
    for order in itertools.permutations(stacks):
        runs, _ = chosen([h for stack in order for h in stack])
        assert [c.stack.first.series_instance_uid for c in runs] == ["1.4"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (axial(count=1), "too-few-slices"),
        (axial(body_part_examined="HEAD"), "not-chest"),
        (axial(sop_class_uid="1.2.840.10008.5.1.4.1.1.2.1", number_of_frames=60), "multi-frame"),
        (axial(pixel_spacing=None), "no-geometry"),
        (axial(image_orientation_patient=None), "no-geometry"),
        (axial(count=15, step=5.0), "coverage"),
        (axial(step=10.0), "thickness"),
        (axial(image_orientation_patient=(0, 1, 0, 0, 0, -1)), "not-axial"),
        (axial()[:30] + axial()[33:], "gap-in-stack"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(headers, code):
    runs, by_series = chosen(headers)
    assert not runs
    assert by_series["1.1"].code == code
    assert by_series["1.1"].reason


def test_a_chest_abdomen_scan_runs():
    runs, _ = chosen(axial(body_part_examined="CHEST_ABDOMEN"))
    assert len(runs) == 1


def test_the_selection_hash_changes_with_pixels_geometry_order_and_what_the_card_names_only():
    headers = axial(count=3)
    pixels = {h.sop_instance_uid: "a" for h in headers}
    base = selection_hash(headers, pixels, ("ConvolutionKernel",))

    def changed(**values):
        return selection_hash([replace(h, **values) for h in headers], pixels, ("ConvolutionKernel",))

    assert changed(series_description="other", contrast_bolus_agent="yes") == base
    assert changed(pixel_spacing=(0.8, 0.8)) != base
    assert changed(convolution_kernel="B70f") != base
    assert selection_hash(headers, pixels, ("ConvolutionKernel", "ContrastBolusAgent")) != base
    assert selection_hash(headers[::-1], pixels, ("ConvolutionKernel",)) != base
    assert selection_hash(headers, pixels | {"1.1.0": "b"}, ("ConvolutionKernel",)) != base
