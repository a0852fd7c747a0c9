"""What runs of X-ray studies as real sites send them, and what is said of the rest."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.card import CTInput, ModelCard, XRayInput
from node.selection import modalities_of, plausibility, rejected_by, select, selection_hash
from node.stacks import split
from tests.unit.node.headers import CR_IMAGE, SECONDARY_CAPTURE, axial, for_processing, lateral, xray

XRAY = ModelCard(name="x", version="1", title="", purpose="", output="", input=XRayInput())
CT = ModelCard(name="c", version="1", title="", purpose="", output="", input=CTInput())
NOON = "20260101120000"


def choices_by_uid(*headers, card=XRAY):
    stacks = split(headers)
    return {c.stack.first.sop_instance_uid: c for c in select(stacks, card, rejected=rejected_by(stacks))}


def codes(*headers):
    return {uid: choice.code for uid, choice in choices_by_uid(*headers).items()}


def test_of_pa_lateral_and_the_same_pa_for_processing_the_pa_runs_and_the_others_are_named():
    found = choices_by_uid(xray(acquired_at=NOON), lateral(), for_processing(acquired_at=NOON))
    assert {uid: c.code for uid, c in found.items()} == {
        "2.1.1": "selected",
        "2.2.1": "not-frontal",
        "2.3.1": "for-processing",
    }
    assert found["2.1.1"].reason == "The only image that fits (PA)."
    assert found["2.2.1"].reason == (
        "The view is lateral by View Position LL; the pipeline reads PA and AP. "
        "If it is not, correct that and send it again."
    )
    assert found["2.3.1"].reason == (
        "The image is for processing: as the detector gave it, not as it is read. "
        "For presentation it is series 1 · chest · PA, which runs: both have the same view and acquisition time."
    )


def test_repeats_run_each_and_say_so():
    found = choices_by_uid(xray("2.1.1", acquired_at=NOON), xray("2.1.2", instance_number=2, acquired_at=NOON + ".5"))
    assert [c.runs for c in found.values()] == [True, True]
    assert [c.stack.label for c in found.values()] == [
        "series 1 · chest · PA · image 1",
        "series 1 · chest · PA · image 2",
    ]
    assert all(c.reason == "One of 2 images that fit, each of which runs (PA)." for c in found.values())


def test_two_views_in_one_series_are_told_apart():
    assert codes(xray("2.1.1"), lateral("2.1.2", series_number=1)) == {"2.1.1": "selected", "2.1.2": "not-frontal"}


@pytest.mark.parametrize(
    "changes",
    [
        {"view_position": "AP", "series_description": "PORT CHEST"},
        {"view_position": "AP PORTABLE", "body_part_examined": "PORT CHEST"},
        {"view_position": ""},
        {"body_part_examined": ""},
        {"body_part_examined": "UNKNOWN"},
        {"body_part_examined": "THORAX"},
        {"body_part_examined": "LUNG"},
        {"view_position": "", "body_part_examined": "", "image_type": (), "presentation_intent_type": ""},
        {"sop_class_uid": SECONDARY_CAPTURE, "modality": "CR", "image_type": ("DERIVED", "SECONDARY")},
        {"sop_class_uid": CR_IMAGE, "modality": "CR", "presentation_intent_type": ""},
        {"photometric_interpretation": "MONOCHROME1"},
        {"photometric_interpretation": "", "samples_per_pixel": None},
        {"patient_orientation": ("R", "F")},
        {"patient_orientation": ("F", "L")},
        {"number_of_frames": 1},
        {"rows": 256, "columns": 256},
        {"rows": 4280, "columns": 3520, "pixel_spacing": (0.1, 0.1)},
        {"series_number": None, "instance_number": None},
    ],
)
def test_what_an_image_does_not_say_or_how_it_is_stored_is_no_reason_not_to_run(changes):
    assert codes(xray(**changes)) == {"2.1.1": "selected"}


@pytest.mark.parametrize(
    ("changes", "judged"),
    [
        ({}, ""),
        ({"view_position": ""}, "its view"),
        ({"body_part_examined": ""}, "its body part"),
        ({"view_position": "", "body_part_examined": ""}, "its view or its body part"),
    ],
)
def test_what_an_image_does_not_state_is_told_with_who_judges(changes, judged):
    (choice,) = choices_by_uid(xray(**changes)).values()
    assert (f"It does not state {judged}: the pipeline judges" in choice.reason) is bool(judged)
    assert ("does not state" in choice.reason) is bool(judged)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"body_part_examined": "ABDOMEN"}, "not-chest"),
        ({"body_part_examined": "HAND"}, "not-chest"),
        ({"body_part_examined": "RIBS"}, "not-chest"),
        ({"body_part_examined": "THORACIC SPINE"}, "not-chest"),
        ({"body_part_examined": "SHOULDER"}, "not-chest"),
        ({"view_position": "LLD"}, "not-frontal"),
        ({"view_position": "AP AXIAL"}, "not-frontal"),
        ({"view_position": "", "series_description": "Thorax seitl."}, "not-frontal"),
        ({"view_position": "", "patient_orientation": ("A", "F")}, "not-frontal"),
        ({"samples_per_pixel": 3, "photometric_interpretation": "RGB"}, "not-grayscale"),
        ({"photometric_interpretation": "PALETTE COLOR"}, "not-grayscale"),
        ({"number_of_frames": 40}, "multi-frame"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer"),
        ({"rows": 128, "columns": 128}, "image-too-small"),
        ({"modality": "RF"}, "not-xray-image"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.11.1"}, "not-xray-image"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, code):
    (choice,) = choices_by_uid(xray(**changes)).values()
    assert (choice.code, choice.runs) == (code, False)
    assert choice.refusal
    assert choice.reason


def test_a_series_whose_lateral_lies_without_a_view_under_a_description_of_both_is_left_to_the_pipeline():
    both = "Chest PA and lateral"
    found = choices_by_uid(
        xray("2.1.1", view_position="", series_description=both),
        xray("2.1.2", view_position="", series_description=both, instance_number=2),
    )
    assert [c.runs for c in found.values()] == [True, True]


def test_each_modality_names_what_the_other_pipelines_read():
    (ct,) = choices_by_uid(*axial()).values()
    assert ct.reason == "This is CT; the pipeline reads X-ray images (CR, DX)."
    (dx,) = choices_by_uid(xray(), card=CT).values()
    assert dx.reason == "Not a CT image (DX)."
    (presentation,) = choices_by_uid(xray(sop_class_uid="1.2.840.10008.5.1.4.1.1.11.1")).values()
    assert presentation.reason.startswith("This is Grayscale Softcopy Presentation State Storage; ")
    assert modalities_of(XRAY) == {"CR", "DX"}
    assert modalities_of(CT) == {"CT"}


def test_an_image_for_processing_alone_asks_for_the_one_for_presentation():
    (choice,) = choices_by_uid(for_processing(acquired_at=NOON)).values()
    assert choice.refusal.remedy == "Send the image for presentation."
    found = choices_by_uid(for_processing(acquired_at=NOON), xray(acquired_at="20260101120100"))
    assert found["2.3.1"].refusal
    assert found["2.1.1"].runs


def test_an_image_for_processing_whose_exposure_is_not_told_names_what_runs_of_its_view():
    found = choices_by_uid(for_processing(), xray(acquired_at=NOON))
    assert found["2.3.1"].refusal is None
    assert found["2.3.1"].reason.endswith(" For presentation, series 1 · chest · PA of the same view runs.")
    found = choices_by_uid(for_processing(irradiation_event_uid=("7",)), xray(irradiation_event_uid=("8",)))
    assert found["2.3.1"].refusal
    assert choices_by_uid(for_processing(view_position="AP"), xray())["2.3.1"].refusal


COPY = {"uid": "2.9.1", "series_number": 9}


@pytest.mark.parametrize(
    ("original", "copy"),
    [
        ({"acquired_at": NOON}, {"acquired_at": NOON, "series_description": "chest edge enhanced"}),
        ({"irradiation_event_uid": ("7",)}, {"irradiation_event_uid": ("7",), "acquired_at": NOON}),
        ({}, {"source_instance_uids": ("2.1.1",)}),
        (
            {"source_instance_uids": ("2.3.1",)},
            {"source_instance_uids": ("2.3.1",), "image_type": ("DERIVED", "SECONDARY")},
        ),
    ],
)
def test_a_processed_copy_of_an_exposure_does_not_run_and_names_the_one_that_does(original, copy):
    for headers in itertools.permutations([xray(**original), xray(**(COPY | copy))]):
        found = choices_by_uid(*headers)
        assert {uid: c.code for uid, c in found.items()} == {"2.1.1": "selected", "2.9.1": "copy"}
        assert found["2.9.1"].reason.startswith("The exposure of series 1 · chest · PA, which runs: ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"acquired_at": NOON}, {"acquired_at": NOON, "view_position": "AP"}),
        ({"acquired_at": NOON, "view_position": ""}, {"acquired_at": NOON, "view_position": ""}),
        (
            {"acquired_at": NOON, "irradiation_event_uid": ("7",)},
            {"acquired_at": NOON, "irradiation_event_uid": ("8",)},
        ),
        ({}, {"source_instance_uids": ("2.1.1", "5.5")}),
    ],
)
def test_images_that_nothing_shows_to_be_of_one_exposure_both_run(one, other):
    assert set(codes(xray(**one), xray(**(COPY | other))).values()) == {"selected"}


def test_an_acquisition_time_that_images_of_different_views_share_makes_no_copies():
    repeats = [xray("2.1.1", acquired_at=NOON), xray("2.1.2", acquired_at=NOON)]
    assert sorted(codes(*repeats).values()) == ["copy", "selected"]
    assert set(codes(*repeats, lateral(acquired_at=NOON)).values()) == {"selected", "not-frontal"}


def test_a_copy_runs_where_its_original_cannot():
    colour = xray(acquired_at=NOON, samples_per_pixel=3, photometric_interpretation="RGB")
    assert codes(colour, xray(**COPY, acquired_at=NOON)) == {"2.1.1": "not-grayscale", "2.9.1": "selected"}


def test_a_key_object_takes_x_ray_images_out():
    rejection = xray("2.8.1", modality="KO", rejected_instance_uids=("2.1.1",))
    found = choices_by_uid(rejection, xray("2.1.1"), xray("2.1.2", instance_number=2))
    assert {uid: c.code for uid, c in found.items()} == {
        "2.1.1": "rejected",
        "2.1.2": "selected",
        "2.8.1": "not-xray-image",
    }


def ct_choices(headers, *, rejected):
    """Return code, number of images and reason for each CT stack, where a key object rejects some of the slices."""
    rejection = xray(
        "2.8.1", modality="KO", rejected_instance_uids=tuple(headers[n].sop_instance_uid for n in rejected)
    )
    stacks = split([rejection, *headers])
    chosen = select(stacks, CT, rejected=rejected_by(stacks))
    return [(c.code, len(c.stack.instances), c.reason) for c in chosen if c.stack.first.modality == "CT"]


REJECTED = (
    "A key object of the study rejects the image. If it is to be read after all, send it with a new SOP Instance UID."
)


def test_a_slice_that_a_key_object_rejects_leaves_a_gap_in_its_stack_of_which_the_reason_is_told():
    volume, slice_ = ct_choices(axial(count=72), rejected=[30])
    assert volume[:2] == ("gap-in-stack", 71)
    assert "1 of 72 images is rejected by a key object." in volume[2]
    assert slice_ == ("rejected", 1, REJECTED)


def test_a_stack_runs_without_slices_at_its_end_that_a_key_object_rejects():
    volume, slices = ct_choices(axial(count=72), rejected=[0, 1])
    assert volume == ("selected", 70, "The only stack that fits. 2 of 72 images are rejected by a key object.")
    assert slices == ("rejected", 2, REJECTED)


def test_a_slice_that_came_in_the_place_of_a_rejected_one_closes_the_gap():
    again = replace(axial(count=72)[30], sop_instance_uid="1.1.99")
    volume, _ = ct_choices([*axial(count=72), again], rejected=[30])
    assert volume[:2] == ("selected", 72)


def test_a_stack_of_which_a_key_object_rejects_every_slice_does_not_run():
    assert ct_choices(axial(count=72), rejected=range(72)) == [("rejected", 72, REJECTED)]


def test_what_a_person_means_is_the_image_nearest_to_a_frontal_chest():
    headers = [lateral(), for_processing(), xray("2.4.1", body_part_examined="HAND"), axial(count=1)[0]]
    for order in itertools.permutations(headers):
        best = max(split(order), key=lambda stack: plausibility(stack, XRAY))
        assert best.first.sop_instance_uid == "2.3.1"


def test_a_corrected_name_leaves_the_selection_as_it_was_and_a_changed_window_does_not():
    def digest(**values):
        header = xray(**values)
        return selection_hash([header], {header.sop_instance_uid: "a"}, XRAY.input.header_keywords)

    base = digest()
    assert digest(series_description="other", study_description="x", view_position="AP", patient_sex="F") == base
    for values in (
        {"window_center": (128.0,)},
        {"window_width": (256.0,)},
        {"voi_lut_function": "SIGMOID"},
        {"voi_lut_sequence": "ab"},
        {"modality_lut_sequence": "ab"},
        {"photometric_interpretation": "MONOCHROME1"},
        {"pixel_padding_value": 0},
        {"patient_orientation": ("R", "F")},
        {"imager_pixel_spacing": (0.1, 0.1)},
    ):
        assert digest(**values) != base


IMAGES = st.builds(
    xray,
    st.integers(1, 9).map(lambda n: f"2.{n % 3 + 1}.{n}"),
    view_position=st.sampled_from(["", "PA", "AP", "LL", "AP AXIAL"]),
    body_part_examined=st.sampled_from(["", "CHEST", "HAND"]),
    acquired_at=st.sampled_from(["", NOON, NOON + ".1"]),
    source_instance_uids=st.sampled_from([(), ("2.1.3",), ("2.2.1",), ("9.9",)]),
    irradiation_event_uid=st.sampled_from([(), ("7",), ("8",)]),
    presentation_intent_type=st.sampled_from(["", "FOR PRESENTATION", "FOR PROCESSING"]),
    image_type=st.sampled_from([(), ("ORIGINAL", "PRIMARY"), ("DERIVED", "PRIMARY"), ("DERIVED", "SECONDARY")]),
)


@settings(deadline=None, max_examples=150)
@given(headers=st.lists(IMAGES, min_size=1, max_size=6, unique_by=lambda h: h.sop_instance_uid), data=st.data())
def test_the_order_of_arrival_changes_nothing_and_every_image_is_told_its_reason(headers, data):
    found = choices_by_uid(*headers)
    again = choices_by_uid(*data.draw(st.permutations(headers)))
    assert {uid: (c.code, c.reason) for uid, c in found.items()} == {
        uid: (c.code, c.reason) for uid, c in again.items()
    }
    assert set(found) == {h.sop_instance_uid for h in headers}
    assert all(c.reason for c in found.values())
    if any(c.code == "copy" for c in found.values()):
        assert any(c.runs for c in found.values())


@settings(deadline=None, max_examples=100)
@given(headers=st.lists(IMAGES, min_size=1, max_size=6, unique_by=lambda h: h.sop_instance_uid))
def test_each_image_is_a_stack_with_a_label_of_its_own_in_its_series(headers):
    stacks = split(headers)
    assert len(stacks) == len(headers)
    by_series = {}
    for stack in stacks:
        by_series.setdefault(stack.first.series_instance_uid, []).append(stack.label)
    assert all(len(set(labels)) == len(labels) for labels in by_series.values())
