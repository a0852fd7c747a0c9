"""The boxes through the worker: what it writes, read by tools that nobody of this project wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import srread

from inference import frontal_lungs, radiograph, resident
from inference.findings import Refusal
from inference.frontal import FrontalCheck
from inference.frontal_lungs import FrontalLungs
from inference.opacity_boxes import prepared
from inference.registry import load_several
from node import worker
from tests.narrow_boxes import PIPELINE, Boxes
from tests.radiographs import chest_pixels, lungs, write_xray
from tests.validators import dciodvfy_errors, dsrdump
from tests.xray_jobs import job, objects

SHAPE = (360, 400)
PLACE = np.s_[140:200, 80:130]
"""Of what is bright, in the right lung."""
EDGES = (80, 140, 130, 200)


@pytest.fixture(scope="module", autouse=True)
def planted_lungs():
    """Lungs where the ellipses lie, and none on other images; and two greys, which the network made by hand knows."""

    def found(source, *_):
        shape = source.upright_image.shape
        is_chest = bool(source.header.get("ViewPosition"))
        masks = np.concatenate(lungs(shape)) if is_chest else np.zeros((2, *shape), dtype=bool)
        check = FrontalCheck(doubts=() if is_chest else ("no right and no left lung was found",))
        return FrontalLungs(probabilities=None, masks=masks, check=check)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontal_lungs, "frontal_lungs", found)
        patch.setattr(prepared, "equalize_hist", lambda greys, nbins: (greys > 0.9 * nbins).astype(float))
        yield
    resident.release_all()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        made = Boxes(tmp_path_factory.mktemp("boxes"), atypical_appearance=0.8, typical_appearance=0.6)
        yield made.stand_in(patch)


def chest() -> np.ndarray:
    pixels = chest_pixels(SHAPE)
    pixels[PLACE] = 4000
    return pixels


def spec(folder: Path, weights: Path, **settings) -> worker.JobSpec:
    return job(PIPELINE, folder, weights, chest(), **settings)


@pytest.fixture(scope="module")
def boxed(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxed")
    return folder, worker.run(spec(folder, weights), "cpu")


@pytest.fixture(scope="module")
def healthy(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    return folder, worker.run(spec(folder, weights, threshold=0.9), "cpu")


def planar_groups(run):
    return srread(objects(run)["sr"]).content.get_planar_roi_measurement_groups()


@pytest.mark.parametrize("run", ["boxed", "healthy"])
def test_every_object_is_valid(run, request):
    written = objects(request.getfixturevalue(run))
    assert {kind: dciodvfy_errors(path) for kind, path in written.items()} == {"sr": [], "key-image": []}


def test_a_box_is_a_planar_region_with_its_class_and_its_certainty(boxed):
    (box,) = [group for group in planar_groups(boxed) if group.finding_type is not None]
    assert box.tracking_identifier == "box 1"
    assert (box.finding_type.scheme_designator, box.finding_type.meaning) == ("99OPNODE", "Atypical appearance")
    assert box.finding_sites[0].topographical_modifier is None
    assert box.finding_sites[0].value.meaning == "Right lung"
    (certainty,) = box.get_measurements()
    assert (certainty.name.value, certainty.name.scheme_designator, certainty.unit.value) == ("111012", "DCM", "%")
    assert certainty.value == pytest.approx(80, abs=0.01)
    region = box.roi
    assert region.graphic_type.value == "POLYLINE"
    line = region.value
    assert np.array_equal(line[0], line[-1])
    assert np.abs(np.concatenate([line.min(axis=0), line.max(axis=0)]) - EDGES).max() <= 0.5


def test_every_tracked_finding_of_a_report_can_be_drawn(boxed, healthy):
    for run in (boxed, healthy):
        report = srread(objects(run)["sr"]).content
        drawn = {str(group.tracking_uid) for group in planar_groups(run)}
        assert {str(group.tracking_uid) for group in report.get_image_measurement_groups()} <= drawn


def test_healthy_or_not_is_the_result_and_the_class_a_secondary_one(boxed, healthy):
    said = dsrdump(objects(boxed)["sr"])
    assert '"Lungs")=(CXRNOTHEALTHY,99OPNODE,"Not healthy")' in said
    assert '"Appearance (secondary)")=(CXRATYPICAL,99OPNODE,"Atypical appearance")' in said
    assert "Not healthy: the most certain box, of atypical appearance, has 80 %" in said
    assert "robability" not in said
    said = dsrdump(objects(healthy)["sr"])
    assert '"Lungs")=(CXRHEALTHY,99OPNODE,"Healthy")' in said
    assert '"Appearance (secondary)")=(CXRNOPNEUMONIA,99OPNODE,"No pneumonia")' in said
    assert "Healthy: no box reaches the threshold of 90 %. That excludes nothing." in said


def test_the_report_says_how_it_was_computed(boxed):
    said = dsrdump(objects(boxed)["sr"])
    for parameter in ("threshold=0.5", "boxes=5", "overlap=0.5", "device=cpu", "weights sha256="):
        assert parameter in said


def test_a_box_keeps_its_tracking_uid_as_long_as_it_is_the_same(boxed, weights, tmp_path):
    again = tmp_path, worker.run(spec(tmp_path, weights, boxes=3), "cpu")
    uids = [
        {group.tracking_identifier: str(group.tracking_uid) for group in planar_groups(run)} for run in (boxed, again)
    ]
    assert uids[0] == uids[1]
    assert objects(boxed)["sr"].read_bytes() != objects(again)["sr"].read_bytes()


def test_the_summary_lists_boxes_as_plain_values(boxed):
    summary = json.loads(json.dumps(boxed[1].summary))
    assert summary["boxes"] == [{"label": "box 1", "finding": "Atypical appearance", "certainty": 0.8}]
    assert summary["measurements"][0] == {"name": "Not healthy, certainty", "value": 80.0, "unit": "%"}


def test_an_image_of_unknown_view_without_lungs_is_refused(weights, tmp_path):
    flat = write_xray(tmp_path / "flat.dcm", np.tile(np.arange(400, dtype=np.uint16), (400, 1)), {"ViewPosition": None})
    (found,) = load_several(PIPELINE, weights=weights, settings={}).together([radiograph.load(flat)], "cpu")
    assert isinstance(found, Refusal)
    assert found.code == "not-frontal-chest"


def test_images_together_are_found_as_each_alone_and_a_refused_one_stops_none(weights, tmp_path):
    flat = np.tile(np.arange(400, dtype=np.uint16), (400, 1))
    paths = [
        write_xray(tmp_path / "a.dcm", chest()),
        write_xray(tmp_path / "b.dcm", flat, {"ViewPosition": None}),
        write_xray(tmp_path / "c.dcm", chest()[::-1, :-31], {"PatientOrientation": ["L", "H"]}),
    ]
    sources = [radiograph.load(path) for path in paths]
    pipeline = load_several(PIPELINE, weights=weights, settings={})
    first, refused, last = pipeline.together(sources, "cpu")
    assert isinstance(refused, Refusal)
    for source, found in ((sources[0], first), (sources[2], last)):
        (alone,) = pipeline.together([source], "cpu")
        assert alone.boxes == found.boxes
        assert found.source_instances == source.sop_instance_uids
        assert (alone.measurements, alone.warnings) == (found.measurements, found.warnings)
