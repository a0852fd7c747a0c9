from typer.testing import CliRunner

from node.bench.load import measure
from node.cli import app
from phantom.ct import make_chest
from phantom.dicom import write_study


def test_loading_is_measured_in_parallel_and_by_one_thread_in_turn(tmp_path):
    write_study(tmp_path, make_chest(slices=12, rows=32, columns=32, spacing_mm=(20.0, 9.0, 9.0)))
    report = measure(tmp_path, runs=3)
    assert (report.instances, report.transfer_syntax) == (12, "Explicit VR Little Endian")
    assert len(report.runs) == 3
    assert report.parallel_s == sorted(parallel for parallel, _ in report.runs)[1]
    assert report.machine["cores"]


def test_a_folder_that_is_no_volume_is_told_without_a_trace(tmp_path):
    write_study(tmp_path, make_chest(slices=3, rows=16, columns=16, spacing_mm=(20.0, 9.0, 9.0)))
    for folder, words in ((tmp_path, "3 slices"), (tmp_path / "sub", "no DICOM file")):
        folder.mkdir(exist_ok=True)
        ran = CliRunner().invoke(app, ["bench", "load", str(folder)])
        assert ran.exit_code == 2
        assert words in ran.output
