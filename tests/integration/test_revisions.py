"""Late, repeated and contradictory input, from wire to PACS: one `opacity-node serve`, a study for each case."""

import time
from contextlib import contextmanager

import pydicom
import pytest
from pynetdicom import AE
from sqlalchemy import select

from db.models import Instance
from db.session import Database
from db.states import InstanceRole
from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.commands import opacity_node

LIMIT_S = 120


class House:
    """A node that serves, the PACS it delivers to, and a person at its command line."""

    def __init__(self, node, config, pacs_folder, workshop):
        self.node = node
        self.config = config
        self.pacs_folder = pacs_folder
        self.workshop = workshop
        self.chest = make_chest(slices=60, rows=96, columns=96, spacing_mm=(5.0, 3.7, 3.7))

    def study(self, name, **changes):
        """Return the files of a study of its own."""
        return write(
            self.workshop / f"{name}-{time.monotonic_ns()}", to_datasets(self.chest, uid_entropy=name, **changes)
        )

    def send(self, paths):
        assert send_files(paths, self.node.peer).stored == len(paths)

    def report(self, paths):
        uid = str(pydicom.dcmread(paths[0], specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
        return next((s for s in self.node.studies() if s.study_instance_uid == uid), None)

    def until(self, paths, state="settled", *, instances=None, jobs=None):
        """Wait until the study is in this state, and whatever it has to run and send is done."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            self.node.check()
            all_indexed = not self.node.storage.spooled()  # before the rows are read, which otherwise may be older
            study = self.report(paths)
            if (
                all_indexed
                and study
                and study.state == state
                and instances in {None, study.instances}
                and jobs in {None, len(study.jobs)}
                and all(j.state in {"succeeded", "refused", "cancelled"} for j in study.jobs)
                and all(d.state in {"sent", "cancelled"} for j in study.jobs for d in j.deliveries)
            ):
                return study
            assert time.monotonic() < deadline, study
            time.sleep(0.1)

    def reports(self, paths):
        """Return the SRs that the PACS has of a study, oldest revision first."""
        uid = pydicom.dcmread(paths[0]).StudyInstanceUID
        found = [d for d in map(pydicom.dcmread, self.pacs_folder.glob("*.dcm")) if d.StudyInstanceUID == uid]
        return sorted((d for d in found if d.Modality == "SR"), key=lambda d: "rev" in d.SeriesDescription)

    def command(self, *arguments):
        return opacity_node(*arguments, "--config", self.config)

    def roles(self, paths):
        database = Database(f"sqlite:///{self.node.storage.database}")
        with database.read() as session:
            uids = [str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID) for p in paths]
            rows = session.execute(select(Instance.sop_instance_uid, Instance.role)).all()
        database.close()
        return sorted(role for uid, role in rows if uid in uids)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    with EmbeddedPacs(folder / "pacs") as pacs:
        config = write_config(folder, pacs_port=pacs.port)
        settings = config.read_text().replace("[settle]\n", "[settle]\nassociation_idle_s = 8\n")
        config.write_text(settings)
        with RunningNode(config) as node:
            yield House(node, config, folder / "pacs", folder)


def change(paths, **values):
    """Rewrite files with other values; return their paths."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    return paths


def test_late_slices_make_a_revision_whose_report_names_the_first(house):
    paths = house.study("late")
    house.send(paths[:55])
    house.until(paths, instances=55)
    house.send(paths[55:])
    study = house.until(paths, instances=60, jobs=2)
    first, second = house.reports(paths)
    assert "PredecessorDocumentsSequence" not in first
    (predecessor,) = second.PredecessorDocumentsSequence
    (series,) = predecessor.ReferencedSeriesSequence
    assert predecessor.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert second.SeriesDescription.endswith("rev 2")
    assert study.revision == 2


def test_a_pacs_that_sends_corrected_names_runs_nothing_again(house):
    paths = house.study("names", patient_name="Wrong^Name")
    house.send(paths)
    house.until(paths)
    house.send(change(paths, PatientName="Right^Name", AccessionNumber="A99"))
    study = house.until(paths, instances=60, jobs=1)
    assert study.revision == 2
    assert house.roles(paths) == [InstanceRole.CURRENT] * 60 + [InstanceRole.SUPERSEDED] * 60
    (report,) = house.reports(paths)
    assert report.PatientName == "Wrong^Name"  # it was built before


def test_results_that_are_not_built_yet_take_the_corrected_name(house):
    paths = house.study("names in time", patient_name="Wrong^Name")
    house.send(paths)
    house.send(change(paths, PatientName="Right^Name"))
    house.until(paths)
    (report,) = house.reports(paths)
    assert report.PatientName == "Right^Name"


def test_other_pixels_hold_the_study_until_a_person_decides(house):
    paths = house.study("pixels")
    house.send(paths)
    house.until(paths)
    brighter = change(paths[:1], RescaleIntercept=-1000)
    house.send(brighter)
    study = house.until(paths, "held")
    assert (study.hold_reason, study.conflicts) == ("conflict", 1)

    shown = house.command("resolve", study.study_instance_uid)
    assert shown.exit_code == 0
    assert "--keep first" in shown.stdout
    undecided = house.command("resolve", study.study_instance_uid, "--yes")
    assert undecided.exit_code == 2
    assert house.report(paths).state == "held"

    assert house.command("resolve", study.study_instance_uid, "--keep", "newest").exit_code == 0
    house.until(paths, jobs=2)
    _, second = house.reports(paths)
    assert second.PredecessorDocumentsSequence


def test_two_patients_in_one_study_hold_it_and_the_stranger_is_left_out(house):
    paths = house.study("patients", patient_id="P-1")
    change(paths[58:], PatientID="P-2")
    house.send(paths)
    study = house.until(paths, "held")
    assert (study.hold_reason, study.jobs) == ("identity-conflict", [])
    assert "P-1" not in study.hold_message
    shown = house.command("resolve", study.study_instance_uid)
    assert "P-1" in shown.stdout
    assert "P-2" in shown.stdout
    assert house.command("resolve", study.study_instance_uid, "--yes").exit_code == 2

    assert house.command("resolve", study.study_instance_uid, "--patient", "1").exit_code == 0
    house.until(paths, jobs=1, instances=58)
    (report,) = house.reports(paths)
    assert report.PatientID == "P-1"
    assert house.roles(paths) == [InstanceRole.CURRENT] * 58 + [InstanceRole.EXCLUDED] * 2
    assert "P-1" not in house.node.log.read_text()


def test_our_results_that_the_pacs_forwards_back_change_nothing(house):
    paths = house.study("loop")
    house.send(paths)
    before = house.until(paths)
    uid = before.study_instance_uid
    ours = [p for p in house.pacs_folder.glob("*.dcm") if pydicom.dcmread(p).StudyInstanceUID == uid]
    assert ours
    house.send(ours)
    after = house.until(paths)
    assert (after.revision, after.last_received_at, after.instances) == (1, before.last_received_at, 60)
    assert house.roles(ours) == [InstanceRole.OWN_RESULT] * len(ours)


@contextmanager
def association(peer):
    """Hold an association open, as a gateway with a pool does; yields a function that sends a file over it."""
    entity = AE(ae_title="POOL")
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    held = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    assert held.is_established
    try:
        yield lambda path: held.send_c_store(pydicom.dcmread(path)).Status
    finally:
        held.release()


def test_a_pooled_association_that_never_closes_delays_a_study_and_does_not_stop_it(house):
    paths = house.study("pooled")
    with association(house.node.peer) as send:
        assert {send(path) for path in paths} == {0}
        assert house.until(paths, instances=60).settle_reason == "quiet"


def test_a_sender_that_trickles_is_waited_for_while_it_is_connected(house):
    paths = house.study("trickling")
    with association(house.node.peer) as send:
        for path in paths[:3]:
            assert send(path) == 0
            time.sleep(2.5)  # longer than the quiet time
        assert house.report(paths).revision == 0
        for path in paths[3:]:
            assert send(path) == 0
    study = house.until(paths, instances=60)
    assert (study.revision, len(study.jobs)) == (1, 1)
