"""Images that came before an upgrade, after which the node reads more attributes of them."""

from datetime import UTC, datetime, timedelta

import pytest
from pydicom import dcmread
from sqlalchemy import select, update

from db.models import Instance, Job, Study
from db.states import StudyState
from handlers.association import Associations
from node.config import Config
from node.header import InstanceHeader
from node.rules import Rule
from node.sections import Settle
from node.settler import Settler
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import to_dataset
from tests.unit.node.test_indexer import Intake

KEPT = {"sop_instance_uid", "sop_class_uid", "series_instance_uid", "modality", "image_type", "rows", "columns"}
"""Some of what the first version kept."""


class Desk:
    """A node's indexer and settler, and one X-ray study of two images."""

    def __init__(self, folder):
        self.intake = Intake(folder / "storage")
        rule = Rule(name="x", modality=["CR", "DX"], pipelines=("lung-fields",))
        self._settler = Settler(
            database=self.intake.database,
            storage=self.intake.storage,
            associations=Associations(),
            config=Config(settle=Settle(quiet_xray_s=1), destinations=(), rules=(rule,)),
            on_jobs=lambda: None,
        )
        chest = make_radiograph(rows=320, columns=288, spacing_mm=1.2)
        self.files = []
        for number in (1, 2):
            dataset = to_dataset(chest, instance_number=number, uid_entropy="old")
            dataset.AcquisitionTime = f"10111{number}"
            self.files.append(folder / f"{number}.dcm")
            dataset.save_as(self.files[-1], enforce_file_format=True)

    def receive(self, *paths):
        for path in paths:
            self.intake.spool_file(path)
        self.intake.indexer.run()

    def settle(self):
        earlier = datetime.now(UTC) - timedelta(minutes=5)
        with self.intake.database.write() as session:
            session.execute(update(Study).values(last_received_at=earlier, opened_at=earlier))
        self._settler.run()
        with self.intake.database.read() as session:
            assert session.scalars(select(Study.state)).one() is StudyState.SETTLED

    def forget(self):
        """Leave in the rows what an earlier version kept of the headers."""
        with self.intake.database.write() as session:
            for row in session.scalars(select(Instance)):
                row.header = {k: v for k, v in row.header.items() if k in KEPT}

    def jobs(self):
        with self.intake.database.read() as session:
            return len(session.scalars(select(Job.id)).all())


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.intake.database.close()


def test_a_study_that_came_before_the_upgrade_is_judged_by_what_is_read_now(desk):
    desk.receive(*desk.files)
    now = [row.header for row in desk.intake.rows()]
    desk.forget()
    desk.settle()
    assert [row.header for row in desk.intake.rows()] == now
    assert all(map(InstanceHeader.is_current, now))


def test_a_corrected_name_runs_nothing_again_that_came_before_the_upgrade_and_ran_after_it(desk):
    desk.receive(desk.files[0])
    desk.forget()
    desk.receive(desk.files[1])
    desk.settle()
    assert desk.jobs() == 2
    dataset = dcmread(desk.files[0])
    dataset.PatientName = "Right^Name"
    dataset.save_as(desk.files[0])
    desk.receive(desk.files[0])
    desk.settle()
    assert desk.jobs() == 2


def test_a_file_that_is_lost_leaves_the_header_as_it_is_and_the_study_settles(desk):
    desk.receive(*desk.files)
    desk.forget()
    first, second = desk.intake.rows()
    (desk.intake.storage.root / first.path).unlink()
    desk.settle()
    again = desk.intake.rows()
    assert again[0].header == first.header
    assert again[1].header != second.header
