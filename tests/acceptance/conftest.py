"""Files that several tests of `opacity-node run` read."""

from dataclasses import replace

import pytest

from phantom.cxr_dicom import RadiographHeader, to_dataset
from phantom.dicom import write
from tests.acceptance.runs import chest_xray


@pytest.fixture
def frontal(tmp_path):
    return write(tmp_path / "frontal", [to_dataset(chest_xray())])[0]


@pytest.fixture
def two_patients(tmp_path):
    """Two images of two patients under one Study Instance UID, as badly de-identified archives have them."""
    header = RadiographHeader(patient_id="A")
    other = replace(header, patient_id="B", uid_entropy="other", study_instance_uid=header.study)
    write(tmp_path / "archive", [to_dataset(chest_xray(), header), to_dataset(chest_xray(), other)])
    return tmp_path / "archive"
