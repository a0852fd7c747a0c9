from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from node.stacks import Plane, split
from tests.unit.node.headers import axial


def test_a_plain_series_is_one_axial_stack_in_ascending_order():
    (stack,) = split(reversed(axial()))
    assert stack.plane is Plane.AXIAL
    assert [i.image_position_patient[2] for i in stack.instances] == [5.0 * n for n in range(60)]
    assert stack.coverage_mm == 295.0


def test_a_scout_in_the_series_becomes_a_stack_of_its_own():
    scout = axial(
        count=1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), image_orientation_patient=(1, 0, 0, 0, 0, -1)
    )
    scout = [replace(s, sop_instance_uid="9.9") for s in scout]
    stacks = split([*axial(), *scout])
    assert sorted(len(s.instances) for s in stacks) == [1, 60]


def test_two_acquisitions_of_the_same_place_are_two_stacks():
    again = [replace(h, sop_instance_uid=h.sop_instance_uid + ".2", acquisition_number=2) for h in axial()]
    assert [len(s.instances) for s in split([*axial(), *again])] == [60, 60]


def test_acquisitions_side_by_side_are_one_volume():
    upper = axial(start=300.0, acquisition_number=2)
    upper = [replace(h, sop_instance_uid=h.sop_instance_uid + ".2") for h in upper]
    assert [len(s.instances) for s in split([*axial(), *upper])] == [120]


def test_a_scanner_that_counts_every_rotation_still_makes_one_volume():
    headers = [replace(h, acquisition_number=n) for n, h in enumerate(axial())]
    assert [len(s.instances) for s in split(headers)] == [60]


def test_coronal_and_sagittal_images_are_told_apart():
    coronal = axial("1.2", image_orientation_patient=(1, 0, 0, 0, 0, -1))
    sagittal = axial("1.3", image_orientation_patient=(0, 1, 0, 0, 0, -1))
    assert {s.plane for s in split([*coronal, *sagittal])} == {Plane.CORONAL, Plane.SAGITTAL}


def test_instances_without_geometry_are_ordered_by_instance_number():
    headers = axial(count=5, image_position_patient=None, image_orientation_patient=None)
    (stack,) = split(reversed(headers))
    assert stack.plane is Plane.NONE
    assert [i.instance_number for i in stack.instances] == [1, 2, 3, 4, 5]


@settings(max_examples=50, deadline=None)
@given(st.permutations(axial(count=12)))
def test_the_order_of_arrival_does_not_matter(shuffled):
    (stack,) = split(shuffled)
    assert [i.sop_instance_uid for i in stack.instances] == [f"1.1.{n}" for n in range(12)]


def test_a_header_survives_its_json_form():
    header = axial(count=1)[0]
    assert type(header).from_json(header.to_json()) == header
