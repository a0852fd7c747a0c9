import hashlib
import os
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from pydicom import dcmread

from dicom_out.build import ResultContext, ResultKind, build, encode
from dicom_out.context import Predecessor, Run, source_named
from tests import factories
from tests.unit.dicom_out.conftest import a_context
from tests.validators import dciodvfy_errors

SAME_BYTES = """
import hashlib
from dicom_out.build import build, encode
from tests import factories
from tests.unit.dicom_out.conftest import a_context
series = factories.ct_series()
for item in build(factories.findings(series), series, a_context()):
    print(hashlib.sha256(encode(item.dataset)).hexdigest())
"""


def test_objects_come_in_the_order_in_which_they_are_sent(phantom_result):
    assert [path.stem for path in phantom_result.paths] == ["seg-1", "seg-2", "sr-1", "key-image-1"]


def test_the_same_inputs_make_the_same_bytes_in_another_process(phantom_result):
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in phantom_result.paths]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", SAME_BYTES], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == expected


def test_building_leaves_the_source_headers_as_they_were(context):
    series = factories.ct_series()
    before = [header.to_json() for header in series.headers]
    build(factories.findings(series), series, context)
    assert [header.to_json() for header in series.headers] == before


def test_encoding_twice_makes_the_same_bytes(context):
    series = factories.ct_series()
    for item in build(factories.findings(series), series, context):
        assert encode(item.dataset) == encode(item.dataset)


def test_all_objects_but_maps_stay_below_a_quarter_of_the_input(real_result):
    native = real_result.series.pixel_array.size * 2
    assert sum(path.stat().st_size for path in real_result.paths) <= 0.25 * native


def test_every_object_names_one_study_and_a_new_series_in_the_range(result):
    datasets = [dcmread(path) for path in result.paths]
    source = result.series.headers[0]
    assert {d.StudyInstanceUID for d in datasets} == {source.StudyInstanceUID}
    assert source.SeriesInstanceUID not in {d.SeriesInstanceUID for d in datasets}
    kinds = {(d.Modality, d.SeriesInstanceUID, d.SeriesNumber) for d in datasets}
    assert len(kinds) == len(datasets)
    numbers = sorted((int(number), modality) for modality, _, number in kinds)
    assert numbers[:2] == [(9500, "SR"), (9501, "OT")]
    assert numbers[2:] == [(9502 + n, "SEG") for n in range(len(datasets) - 2)]
    assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)


def test_contributing_equipment_agrees_with_the_report_and_the_module(phantom_result):
    (report,) = phantom_result.read(ResultKind.SR)
    observer = {
        item.ConceptNameCodeSequence[0].CodeValue: item.get("UID") or item.get("TextValue")
        for item in report.ContentSequence
        if item.RelationshipType == "HAS OBS CONTEXT" and item.ValueType != "CODE"
    }
    for path in phantom_result.paths:
        dataset = dcmread(path)
        (item,) = dataset.ContributingEquipmentSequence
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert item.DeviceUID == observer["121012"]
        assert item.Manufacturer == observer["121014"] == dataset.Manufacturer == "opacity-node"
        assert item.ManufacturerModelName == observer["121015"] == dataset.ManufacturerModelName
        assert item.DeviceSerialNumber == observer["121016"] == dataset.DeviceSerialNumber == "ab" * 32
        assert item.SoftwareVersions == dataset.SoftwareVersions
        assert item.SoftwareVersions[0] == "1.2.0"


def test_descriptions_carry_prefix_and_revision_and_fit(make_result):
    earlier = Predecessor(sop_class_uid="1.2", sop_instance_uid="1.2.9", series_instance_uid="1.2.8")
    context = {"revision": 30, "predecessors": (earlier,) * 11, "series_description_prefix": "Research AI result"}
    result = make_result(context=context)
    descriptions = [dcmread(path).SeriesDescription for path in result.paths]
    assert all(d.startswith("Research AI") and d.endswith(" rev 12") for d in descriptions)
    assert len(descriptions[-1]) <= 20
    assert all(len(d) <= 64 for d in descriptions)


def test_a_long_algorithm_name_fits_everywhere(make_result):
    result = make_result(algorithm=factories.algorithm(name="n" * 90, version="v" * 90))
    assert [dciodvfy_errors(path) for path in result.paths] == [[], [], [], []]


def test_an_algorithm_without_weights_and_parameters_is_written(make_result):
    result = make_result(algorithm=factories.algorithm(weights_sha256=None, parameters={}))
    assert [dciodvfy_errors(path) for path in result.paths] == [[], [], [], []]
    (report,) = result.read(ResultKind.SR)
    assert "Artificial Intelligence" not in str(report)


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [("+0900", "20261121", "120405"), ("-0530", "20261120", "213405"), ("+0000", "20261121", "030405")],
)
def test_dates_are_local_times_in_the_zone_that_the_source_declares(make_result, offset, date, time):
    result = make_result(factories.ct_series(changes={"TimezoneOffsetFromUTC": offset}))
    for path in result.paths:
        dataset = dcmread(path)
        assert (dataset.ContentDate, dataset.ContentTime) == (date, time)
        assert (dataset.SeriesDate, dataset.InstanceCreationTime) == (date, time)
        assert dataset.TimezoneOffsetFromUTC == offset


@pytest.mark.parametrize("offset", [None, "", "later", "+9999"])
def test_dates_fall_back_to_the_local_time_of_this_machine(context: ResultContext, offset):
    series = factories.ct_series(changes={"TimezoneOffsetFromUTC": offset})
    source = series.headers[0]
    run = Run(source=source, demographics=source, context=context, algorithm=factories.algorithm())
    assert run.local_time() == context.created_at
    assert run.local_time().utcoffset() == datetime.now().astimezone().utcoffset()
    assert all("TimezoneOffsetFromUTC" not in i.dataset or offset is not None for i in _build(series, context))


def test_findings_of_another_series_are_refused(context):
    series = factories.ct_series()
    found = factories.findings(series, source_instances=("1.2.3",))
    with pytest.raises(ValueError, match="source instances"):
        build(found, series, context)


def test_two_regions_with_one_label_are_refused(context):
    series = factories.ct_series()
    region = factories.findings(series).regions[0]
    with pytest.raises(ValueError, match="one label"):
        build(factories.findings(series, regions=(region, region)), series, context)


def test_a_mask_off_the_grid_is_refused(context):
    series = factories.ct_series()
    region = factories.opacity_region("opacity", np.ones((3, 4, 5), dtype=bool), series)
    with pytest.raises(ValueError, match="grid"):
        build(factories.findings(series, regions=(region,)), series, context)


def test_a_tracking_uid_given_by_the_pipeline_is_kept(make_result):
    from dataclasses import replace

    series = factories.ct_series()
    regions = tuple(replace(r, tracking_uid=f"1.2.{i}") for i, r in enumerate(factories.findings(series).regions))
    result = make_result(series, regions=regions)
    segments = [s for seg in result.read(ResultKind.SEG) for s in seg.SegmentSequence]
    assert [s.TrackingUID for s in segments] == ["1.2.0", "1.2.1", "1.2.2"]


def _build(series, context):
    return build(factories.findings(series), series, context)


def test_descriptions_name_the_source_where_others_have_results_too_and_the_text_gives_way():
    image = factories.ct_header(0, changes={"SeriesNumber": 3, "InstanceNumber": 2})
    about = source_named(image, is_stack=False)
    assert about == "S3 I2"
    assert source_named(image, is_stack=True) == "S3"
    assert source_named(factories.ct_header(0, changes={"InstanceNumber": None}), is_stack=False) == ""
    assert a_context(about=about).series_description("key image", limit=20) == "AI key image S3 I2"
    earlier = (Predecessor(sop_class_uid="1", sop_instance_uid="2", series_instance_uid="3"),)
    assert a_context(about=about, predecessors=earlier).series_description("report: x") == "AI report: x S3 I2 rev 2"


def test_the_default_context_starts_at_9500():
    assert (a_context().series_number, a_context().revision, a_context().series_description_prefix) == (9500, 1, "AI")
