"""A real CT, sent by a real sender, comes back into a real PACS as objects that real readers understand."""

import highdicom
import numpy as np
import pydicom
import pytest

from dicom_out.part10 import inflate, is_deflated
from node.demo.harness import RunningNode, write_config
from tests.integration.test_serve import finished, stored, until
from tests.peers import dcmsend, echoscu, findscu, storescu
from tests.radiographs import write_xray
from tests.validators import dciodvfy_errors, segimage2itkimage, tid1500reader

LOCATION = "ImagePositionPatient"


@pytest.fixture
def config(orthanc, tmp_path):
    return write_config(tmp_path, pacs_port=orthanc.port, pacs_ae_title=orthanc.ae_title)


@pytest.fixture
def every_other_slice(real_ct, tmp_path):
    """Half of a real CT, which takes half the time; `opacity-node demo` is tested with all of it."""
    folder = tmp_path / "every-other-slice"
    folder.mkdir()
    ordered = sorted(
        real_ct.glob("*.dcm"), key=lambda path: pydicom.dcmread(path, specific_tags=[LOCATION])[LOCATION].value[2]
    )
    for path in ordered[::2]:
        (folder / path.name).symlink_to(path)
    return folder


def test_a_real_ct_sent_by_dcmsend_comes_back_into_orthanc_in_its_study(every_other_slice, orthanc, config, tmp_path):
    with RunningNode(config) as node:
        assert echoscu(node.peer.host, node.peer.port, node.peer.ae_title)
        sent = dcmsend(every_other_slice, node.peer.host, node.peer.port, node.peer.ae_title)
        assert sent.succeeded == sent.instances == 124, sent.output
        (study,) = until(lambda: finished(node))
        assert len(stored(node)) == 124
    (job,) = study.jobs

    found = findscu(
        orthanc.host,
        orthanc.port,
        orthanc.ae_title,
        level="SERIES",
        keys={"StudyInstanceUID": study.study_instance_uid, "SeriesDescription": "", "SeriesNumber": ""},
    )
    assert sorted(series["Modality"] for series in found) == ["OT", "OT", "SEG", "SEG", "SR"]
    assert all(series["SeriesDescription"].startswith("AI") for series in found)
    assert all(int(series["SeriesNumber"]) >= 9500 for series in found)

    files = [orthanc.download(instance, tmp_path / "results") for instance in orthanc.instances()]
    assert len(files) == len(job.deliveries)
    for file in files:
        assert dciodvfy_errors(plain(file)) == []
    check_readers_agree(files, job.summary, tmp_path)


def plain(file):
    """Inflate a map, which dciodvfy cannot; return the file that it can read."""
    if not is_deflated(pydicom.filereader.read_file_meta_info(file).TransferSyntaxUID):
        return file
    target = file.with_suffix(".plain.dcm")
    with target.open("wb") as inflated:
        inflate(file, inflated)
    return target


def check_readers_agree(files, summary, folder):
    """Read every result with dcmqi and highdicom; masks and numbers must be those that the node reports."""
    volumes = {r["label"]: r["measurements"][0]["value"] for r in summary["regions"]}
    read = {}
    for file in files:
        modality = pydicom.dcmread(file, specific_tags=["Modality"]).Modality
        if modality == "SEG":
            read |= _volumes_of(file, folder / f"dcmqi-{file.stem}")
        if modality == "SR":
            groups = tid1500reader(file, folder)
            values = {
                (group["TrackingIdentifier"], item["quantity"]["CodeMeaning"]): float(item["value"])
                for group in groups
                for item in group["measurementItems"]
            }
            assert highdicom.sr.srread(file).content.get_volumetric_roi_measurement_groups()
    assert set(read) == set(volumes)
    for label, volume in volumes.items():
        assert read[label] == pytest.approx(volume, rel=1e-3)
        reported = [v for (tracked, name), v in values.items() if label in tracked and name == "Volume"]
        assert reported
        assert reported[0] == pytest.approx(volume, rel=1e-3)


def _volumes_of(file, folder):
    """Return millilitres by label, from dcmqi's masks, after highdicom read the same number of voxels."""
    segmentation = highdicom.seg.segread(file)
    volumes = {}
    for segment in segimage2itkimage(file, folder):
        (number,) = segmentation.get_segment_numbers(segment_label=segment.label)
        voxels = int(segment.mask.sum())
        assert int(np.count_nonzero(segmentation.get_volume(segment_numbers=[number]).array)) == voxels
        volumes[segment.label] = voxels * float(np.prod(segment.spacing_mm)) / 1000
    return volumes


def test_a_lateral_sent_by_storescu_is_kept_and_explained(orthanc, config, tmp_path):
    lateral = write_xray(tmp_path / "lateral.dcm", changes={"ViewPosition": "LL", "PatientOrientation": ["P", "F"]})
    with RunningNode(config) as node:
        done = storescu(lateral, node.peer.host, node.peer.port, node.peer.ae_title)
        assert done.returncode == 0, done.stdout
        (study,) = until(lambda: finished(node))
    assert study.jobs == []
    assert study.instances == 1
    assert orthanc.instances() == []
