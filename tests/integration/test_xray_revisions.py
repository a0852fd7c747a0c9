"""X-ray studies that grow and change: every frontal image is a job of its own, and runs again only if it must."""

import time

import pydicom
import pytest

from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import send_files
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import lateral, to_dataset
from phantom.dicom import write

LIMIT_S = 90
SMALL = {"rows": 320, "columns": 288, "spacing_mm": 1.2}


class House:
    """A node, the PACS that it delivers to, and images of one chest, taken again and again."""

    def __init__(self, node, pacs_folder, workshop):
        self.node = node
        self._pacs = pacs_folder
        self._workshop = workshop
        self._chest = make_radiograph(**SMALL)

    def image(self, study, number, *, make=to_dataset):
        """Write an image of a study; return its path."""
        dataset = make(self._chest, instance_number=number, uid_entropy=study)
        dataset.AcquisitionTime = f"10111{number}"
        (path,) = write(self._workshop / f"{study}-{number}-{time.monotonic_ns()}", [dataset])
        return path

    def send(self, *paths):
        assert send_files(paths, self.node.peer).stored == len(paths)

    def until(self, path, *, revision, instances):
        """Wait until the study of an image is settled in this revision, and all of it has run and is sent."""
        uid = pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID
        deadline = time.monotonic() + LIMIT_S
        while True:
            self.node.check()
            study = next((s for s in self.node.studies() if s.study_instance_uid == uid), None)
            if (
                study
                and (study.state, study.revision, study.instances) == ("settled", revision, instances)
                and all(j.state in {"succeeded", "refused", "cancelled"} for j in study.jobs)
                and all(d.state in {"sent", "cancelled"} for j in study.jobs for d in j.deliveries)
            ):
                return study
            assert time.monotonic() < deadline, study
            time.sleep(0.1)

    def results(self, path):
        """Return the reports that the PACS has of a study, by series number."""
        uid = pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID
        found = [pydicom.dcmread(file) for file in self._pacs.glob("*.dcm")]
        mine = [d for d in found if uid == d.StudyInstanceUID and d.Modality == "SR"]
        return sorted(mine, key=lambda d: (d.SeriesNumber, d.SeriesDescription))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    with EmbeddedPacs(folder / "pacs") as pacs:
        config = write_config(folder, pacs_port=pacs.port)
        with RunningNode(config) as node:
            yield House(node, folder / "pacs", folder)


def source_of(report):
    """Return the SOP Instance UIDs that a report is about."""
    evidence = report.CurrentRequestedProcedureEvidenceSequence
    return {
        instance.ReferencedSOPInstanceUID
        for study in evidence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def test_a_late_image_and_a_corrected_name_run_nothing_again_and_another_window_replaces_its_own_results(house):
    first, side = house.image("late", 1), house.image("late", 2, make=lateral)
    house.send(first, side)
    study = house.until(first, revision=1, instances=2)
    assert [j.state for j in study.jobs] == ["succeeded"]
    (report,) = house.results(first)
    assert (report.SeriesNumber, report.SeriesDescription[-2:]) == (9500, "ds")  # "lung-fields": it is the only one

    second = house.image("late", 3)
    dataset = pydicom.dcmread(first)
    dataset.PatientName, dataset.AccessionNumber = "Right^Name", "A99"
    dataset.save_as(first)
    house.send(second, first)
    study = house.until(first, revision=2, instances=3)
    assert [j.state for j in study.jobs] == ["succeeded", "succeeded"]
    assert sorted(d.code for d in study.decisions) == ["not-frontal", "selected", "selected"]
    one, other = house.results(first)
    assert one.SOPInstanceUID == report.SOPInstanceUID
    assert dataset.SOPInstanceUID in source_of(one)
    assert pydicom.dcmread(second).SOPInstanceUID in source_of(other)
    assert source_of(one).isdisjoint(source_of(other))
    assert "PredecessorDocumentsSequence" not in other
    assert (other.SeriesNumber, other.SeriesDescription[-5:]) == (9600, "S1 I3")

    dataset.WindowWidth = float(dataset.WindowWidth) * 1.2
    dataset.save_as(first)
    house.send(first)
    study = house.until(first, revision=3, instances=3)
    assert [j.state for j in study.jobs] == ["succeeded"] * 3
    (again,) = [r for r in house.results(first) if r.SOPInstanceUID not in {one.SOPInstanceUID, other.SOPInstanceUID}]
    (replaced,) = again.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert replaced.ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert again.PatientName == "Right^Name"
    assert (again.SeriesNumber, again.SeriesDescription[-11:]) == (9500, "S1 I1 rev 2")
