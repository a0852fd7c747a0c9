import hashlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK
from highdicom.pm.sop import pmread
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dicom_out import part10
from dicom_out.build import ResultKind, build
from dicom_out.part10 import deflated, inflate
from dicom_out.resampling import resampled
from inference.findings import Findings, Heatmap
from inference.geometry import Geometry
from inference.radiograph import load as load_radiograph
from tests import factories
from tests.unit.dicom_out.conftest import a_context
from tests.validators import dciodvfy_errors, paramap2itkimage

SHAPE = (12, 48, 56)
QUANTITY = factories.OPACITY_PERCENTAGE
FRACTION = factories.Code("1", "UCUM", "no units")


def a_heatmap(grid: Geometry, shape, **changes) -> Heatmap:
    values = {
        "label": "local opacity",
        "quantity": QUANTITY,
        "unit": FRACTION,
        "values": np.random.default_rng(1).random(shape, dtype=np.float32),
        "grid": grid,
    }
    return Heatmap(**{**values, **changes})


@pytest.fixture(scope="module")
def series():
    """A stack whose numbers are no round ones, and no binary fractions."""
    return factories.ct_series(
        shape=SHAPE,
        spacing_mm=(7.5, 3.0, 2.5),
        changes={
            "PixelSpacing": ["3.00000", "2.5"],
            "ImageOrientationPatient": ["1.000000", "0", "-0.0", "0", "1", "0"],
        },
    )


@pytest.fixture(scope="module")
def heatmap(series):
    grid = replace(series.geometry, origin_mm=(-150.3, -140.1, -36.2), spacing_mm=(15.0, 6.1, 5.7))
    return a_heatmap(grid, (5, 20, 23))


@pytest.fixture(scope="module")
def made(series, heatmap, tmp_path_factory):
    """Maps of a CT: files as they are stored, by kind."""
    found = factories.findings(series, heatmaps=(heatmap,))
    objects = build(found, series, a_context(), maps=(ResultKind.MAP, ResultKind.COARSE_MAP))
    assert [item.kind for item in objects] == ["seg", "seg", "sr", "map", "coarse-map", "key-image"]
    folder = tmp_path_factory.mktemp("maps")
    return {item.kind: written(item, folder) for item in objects if item.frames}


def written(item, folder: Path) -> Path:
    path = folder / f"{item.kind}.dcm"
    path.write_bytes(b"".join(item.file()))
    return path


def inflated(path: Path) -> Path:
    target = path.with_suffix(".plain.dcm")
    with target.open("wb") as file:
        inflate(path, file)
    return target


def numbers(dataset, keyword):
    return [element.value for element in dataset.iterall() if element.keyword == keyword]


def test_maps_are_stored_deflated_and_inflate_to_the_same_object(made):
    for path in made.values():
        plain = inflated(path)
        stored, read = dcmread(path), dcmread(plain)
        assert stored.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert stored == read
        assert path.stat().st_size % 2 == 0


@pytest.mark.parametrize("kind", ["map", "coarse-map"])
def test_maps_break_no_rule_of_their_iod(made, kind):
    assert dciodvfy_errors(inflated(made[kind])) == []


def test_a_map_has_every_slice_ascending_where_the_source_has_it_to_the_digit(made, series):
    stored = dcmread(made["map"])
    assert (stored.NumberOfFrames, stored.Rows, stored.Columns) == SHAPE
    assert stored.FrameOfReferenceUID == series.headers[0].FrameOfReferenceUID
    for header, frame in zip(series.headers, stored.PerFrameFunctionalGroupsSequence, strict=True):
        (position,) = frame.PlanePositionSequence
        assert str(position.ImagePositionPatient) == str(header.ImagePositionPatient)
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == header.SOPInstanceUID
    (shared,) = stored.SharedFunctionalGroupsSequence
    for keyword, item in (
        ("PixelSpacing", shared.PixelMeasuresSequence[0]),
        ("SliceThickness", shared.PixelMeasuresSequence[0]),
        ("ImageOrientationPatient", shared.PlaneOrientationSequence[0]),
    ):
        assert str(item[keyword].value) == str(series.headers[0][keyword].value)


def test_pydicom_and_highdicom_read_values_and_quantity_back_exactly(made, series, heatmap):
    expected = np.stack(list(resampled(heatmap, series.geometry, SHAPE)))
    assert np.array_equal(dcmread(made["map"]).pixel_array, expected)
    image = pmread(inflated(made["map"]))
    assert np.array_equal(image.get_frames(apply_real_world_transform=True), expected)
    volume = image.get_volume(apply_real_world_transform=True)
    assert np.array_equal(volume.array[::-1], expected), "it counts slices downwards"
    assert volume.spacing == pytest.approx(series.geometry.spacing_mm)
    assert volume.position == pytest.approx(tuple(series.headers[-1].ImagePositionPatient))
    (mapping,) = dcmread(made["map"]).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    (unit,), (quantity,) = mapping.MeasurementUnitsCodeSequence, mapping.QuantityDefinitionSequence
    assert (unit.CodeValue, quantity.ConceptCodeSequence[0].CodeValue) == ("1", QUANTITY.value)
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)


@pytest.mark.parametrize("kind", ["map", "coarse-map"])
def test_dcmqi_reads_geometry_and_values_back_exactly(made, kind, series, heatmap, tmp_path):
    geometry, values = series.geometry, np.stack(list(resampled(heatmap, series.geometry, SHAPE)))
    if kind == "coarse-map":
        geometry, values = heatmap.grid, heatmap.values
    image = paramap2itkimage(inflated(made[kind]), tmp_path / "itk")
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), values)
    assert image.GetOrigin() == pytest.approx(geometry.origin_mm)
    assert image.GetSpacing() == pytest.approx(geometry.spacing_mm[::-1])


def test_a_map_names_itself_and_says_what_it_is_not_for(made):
    for kind, warning in (("map", "RESEARCH USE ONLY"), ("coarse-map", "Not for overlay")):
        stored = dcmread(made[kind])
        assert stored.ContentQualification == "RESEARCH"
        assert stored.ContentLabel == "LOCAL OPACITY"
        assert warning in stored.ContentDescription
        assert len(stored.ContentDescription) <= 64
        assert ("coarse" in stored.SeriesDescription) == (kind == "coarse-map")
        assert stored.ContributingEquipmentSequence[0].DeviceUID


def test_a_coarse_map_of_a_fine_or_descending_heatmap_ascends_with_voxels_of_two_millimetres(series):
    down = replace(
        series.geometry, origin_mm=(-100.0, -90.0, 21.5), slice_direction=(0.0, 0.0, -1.0), spacing_mm=(3.0, 0.7, 0.5)
    )
    heatmap = a_heatmap(down, (9, 31, 40))
    found = factories.findings(series, heatmaps=(heatmap,))
    (item,) = [i for i in build(found, series, a_context(), maps=[ResultKind.COARSE_MAP]) if i.frames]
    stored = dcmread(BytesIO(b"".join(item.file())))
    assert (stored.NumberOfFrames, stored.Rows, stored.Columns) == (9, 11, 10)
    assert np.array_equal(stored.pixel_array, heatmap.values[::-1, ::3, ::4])
    heights = [p[2] for p in numbers(stored, "ImagePositionPatient")]
    assert heights == pytest.approx([-2.5 + 3 * n for n in range(9)])


def test_a_map_of_nothing_is_written_and_small(series):
    empty = a_heatmap(series.geometry, SHAPE, values=np.zeros(SHAPE, dtype=np.float32))
    found = factories.findings(series, heatmaps=(empty,))
    (item,) = [i for i in build(found, series, a_context(), maps=[ResultKind.MAP]) if i.frames]
    data = b"".join(item.file())
    assert not dcmread(BytesIO(data)).pixel_array.any()
    assert len(data) < 20_000


def test_maps_are_made_only_where_they_are_wanted_and_twice_with_the_same_bytes(series, heatmap):
    found = factories.findings(series, heatmaps=(heatmap,))
    assert not {"map", "coarse-map"} & {item.kind for item in build(found, series, a_context())}
    files = [
        [hashlib.sha256(b"".join(item.file())).hexdigest() for item in build(found, series, a_context(), maps=[kind])]
        for kind in (ResultKind.MAP, ResultKind.MAP, ResultKind.COARSE_MAP)
    ]
    assert files[0] == files[1] != files[2]


def test_an_element_holds_less_than_four_gibibytes():
    assert part10.fits(1023 * 1024 * 1024 * 4)
    assert not part10.fits(1024 * 1024 * 1024 * 4)


def test_a_map_that_no_object_can_hold_is_left_out_and_everything_else_is_written(series, heatmap, monkeypatch):
    monkeypatch.setattr(part10, "_LONGEST", int(np.prod(SHAPE)) * 4 - 2)
    found = factories.findings(series, heatmaps=(heatmap,))
    objects = build(found, series, a_context(), maps=(ResultKind.MAP,))
    assert [item.kind for item in objects] == ["seg", "seg", "sr", "coarse-map", "key-image"]
    assert all(b"".join(item.file()) for item in objects)
    (report,) = [item.dataset for item in objects if item.kind == "sr"]
    said = [text for text in numbers(report, "TextValue") if "too large" in text]
    assert said == [
        "On the 12 x 48 x 56 voxels of the images the map is too large for an object; there is only a coarse one"
    ]
    for maps in ((), (ResultKind.COARSE_MAP,)):
        assert "too large" not in str(build(found, series, a_context(), maps=maps)[2].dataset)


def test_a_map_whose_frames_are_not_what_was_announced_is_no_file(series):
    dataset = dcmread(BytesIO(b"".join(build(factories.findings(series), series, a_context())[0].file())))
    with pytest.raises(ValueError, match="4 bytes, not 8"):
        list(deflated(dataset, [np.zeros((1, 1), dtype=np.float32)], 8))
    with pytest.raises(ValueError, match="more than an object can hold"):
        list(deflated(dataset, [], 2**32))


@pytest.fixture(scope="module")
def radiographs(real_xrays):
    images = [load_radiograph(path) for path in real_xrays]
    for image in images:
        image.header.PatientAge = "062Y"  # they come with "62", which is no AS, and results take it as it is
    return {image.has_pixel_spacing: image for image in images}


@pytest.fixture(scope="module")
def xray_map(radiographs, tmp_path_factory):
    """Write the map of a radiograph, with or without Pixel Spacing."""

    def make(*, spacing, kind):
        image = radiographs[spacing]
        _, rows, columns = image.pixel_array.shape
        step = [max(rows, columns) / 64 * mm for mm in image.geometry.spacing_mm[1:]]
        grid = replace(image.geometry, origin_mm=(step[1] / 2, step[0] / 2, 0.0), spacing_mm=(1.0, *step))
        heatmap = a_heatmap(grid, (1, 64, 64), label="lung field")
        found = Findings(algorithm=factories.algorithm(), source_instances=image.sop_instance_uids, heatmaps=(heatmap,))
        (item,) = [i for i in build(found, image, a_context(), maps=[kind]) if "map" in i.kind]
        return image, heatmap, item.kind, written(item, tmp_path_factory.mktemp("xray"))

    return make


@pytest.mark.parametrize("kind", [ResultKind.MAP, ResultKind.COARSE_MAP])
def test_a_radiograph_with_pixel_spacing_has_one_map_on_its_own_matrix(xray_map, kind):
    image, heatmap, said, path = xray_map(spacing=True, kind=kind)
    plain = inflated(path)
    assert said == "map"
    assert dciodvfy_errors(plain) == []
    stored = dcmread(plain)
    assert (1, stored.Rows, stored.Columns) == image.pixel_array.shape
    (expected,) = resampled(heatmap, image.geometry, image.pixel_array.shape)
    assert np.array_equal(stored.pixel_array, expected)
    assert numbers(stored, "ImagePositionPatient") == [[0, 0, 0]]
    assert numbers(stored, "PixelSpacing")[0] == pytest.approx(image.header.PixelSpacing)
    assert "not anatomical" in stored.ContentDescription
    assert stored.LossyImageCompression == image.header.get("LossyImageCompression", "00")


def test_a_radiograph_without_pixel_spacing_has_a_grey_map_with_real_world_values(xray_map):
    image, heatmap, said, path = xray_map(spacing=False, kind=ResultKind.MAP)
    assert said == "map"
    assert dciodvfy_errors(path) == []
    stored = dcmread(path)
    assert stored.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "FloatPixelData" not in stored
    (expected,) = resampled(heatmap, image.geometry, image.pixel_array.shape)
    (mapping,) = stored.RealWorldValueMappingSequence
    real = stored.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    assert np.abs(real - expected).max() <= 2**-16
    frame = highdicom.imread(path).get_frame(1, apply_real_world_transform=True, apply_voi_transform=False)
    assert np.abs(frame - expected).max() <= 2**-16
