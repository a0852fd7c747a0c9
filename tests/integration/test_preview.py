"""Debian's Orthanc draws a preview of a segmentation on a radiograph, and lives.

A SEG without Plane Orientation is valid and ends its whole process at one such request: an assertion in GDCM.
"""

import pytest

from dicom_out.context import ResultKind
from inference.radiograph import load
from tests.orthanc import Orthanc
from tests.peers import dcmsend
from tests.radiographs import write_xray, xray_findings
from tests.viewers.exhibits import of_findings


@pytest.mark.parametrize("spacing", [[0.8, 0.8], None])
def test_orthanc_draws_a_preview_of_a_segmentation_on_a_radiograph_and_lives(tmp_path, spacing):
    path = write_xray(tmp_path / "image.dcm", changes={"PixelSpacing": spacing})
    source = load(path)
    exhibit = of_findings(tmp_path, [path], source, xray_findings(source))
    segmentations = [file for file in exhibit.results if file.stem.startswith(ResultKind.SEG)]
    with Orthanc(tmp_path / "orthanc", plugins=(Orthanc.DICOMWEB, Orthanc.GDCM)) as orthanc:
        assert dcmsend(segmentations, orthanc.host, orthanc.port, orthanc.ae_title).succeeded == len(segmentations) == 1
        (instance,) = orthanc.instances()
        assert orthanc.preview(instance).startswith(b"\x89PNG")
        assert orthanc.instances() == [instance]
