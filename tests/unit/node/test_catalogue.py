"""What queries know of a study, and when."""

import pytest
from sqlalchemy import select, update

from db import schema
from db.files import Storage
from db.models import CataloguedSeries, CataloguedStudy, Instance, Study
from db.repository import intake
from db.session import Database
from db.states import InstanceRole
from dicom_out.part10 import encode
from node.catalogue import Catalogue
from tests.factories import SERIES, STUDY, ct_header
from tests.unit.db.conftest import received  # noqa: F401 - a fixture


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path)
    storage.prepare()
    return storage


@pytest.fixture
def database(storage):
    database = Database(f"sqlite:///{storage.database}")
    schema.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def keep(storage, database, received):  # noqa: F811 - as pytest has it
    """Index an instance as the indexer would, and leave its file where it says."""

    def add(number, *, place="archive", **changes):
        dataset = ct_header(number, changes=changes)
        row = received(
            number,
            study_instance_uid=STUDY,
            series_instance_uid=str(dataset.SeriesInstanceUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
        )
        path = storage.root / row.path if place == "archive" else storage.spool / row.spool_name
        path.write_bytes(encode(dataset))
        with database.write() as session:
            intake.add(session, [row])
        return path

    return add


@pytest.fixture
def catalogue(storage, database):
    return Catalogue(storage=storage, database=database)


def study_of(database):
    with database.read() as session:
        return session.scalars(select(CataloguedStudy)).one()


def test_a_study_is_known_by_what_its_first_image_says(keep, catalogue, database):
    keep(1, PatientName="Äsop^B", AccessionNumber="A1", StudyTime="101112", ReferringPhysicianName="Ref^É")
    keep(2, PatientName="Other^Name")
    catalogue.run()
    known = study_of(database)
    assert (known.patient_name, known.patient_name_alphabetic) == ("Äsop^B", "asop^b")
    assert (known.accession_number, known.study_time) == ("A1", "101112")
    assert known.referring_physician_name_alphabetic == "ref^e"
    with database.read() as session:
        assert session.scalars(select(Study.to_catalogue)).one() == 0


def test_an_image_that_takes_its_place_is_read_instead(keep, catalogue, database):
    keep(1, PatientName="Wrong")
    keep(2, PatientName="Right")
    catalogue.run()
    with database.write() as session:
        session.execute(update(Instance).where(Instance.id == 1).values(role=InstanceRole.EXCLUDED))
        session.execute(update(Study).values(to_catalogue=1))
    catalogue.run()
    assert study_of(database).patient_name == "Right"


def test_each_series_is_known_once_it_came(keep, catalogue, database):
    keep(1, SeriesDescription="one")
    catalogue.run()
    keep(2, SeriesInstanceUID=f"{SERIES}.2", SeriesDescription="two", ProtocolName="Lung")
    catalogue.run()
    with database.read() as session:
        rows = session.scalars(select(CataloguedSeries).order_by(CataloguedSeries.id)).all()
    assert [(row.series_description, row.protocol_name) for row in rows] == [("one", ""), ("two", "Lung")]


def test_a_change_while_files_are_read_is_not_forgotten(keep, catalogue, database, monkeypatch):
    keep(1)
    read = catalogue._read
    changes = iter([lambda: keep(2, SeriesInstanceUID=f"{SERIES}.2")])

    def read_slowly(*arguments):
        for change in changes:
            change()
        return read(*arguments)

    monkeypatch.setattr(catalogue, "_read", read_slowly)
    catalogue.run()
    with database.read() as session:
        assert session.scalars(select(Study.to_catalogue)).one() > 0
    catalogue.run()
    with database.read() as session:
        assert len(session.scalars(select(CataloguedSeries)).all()) == 2
        assert session.scalars(select(Study.to_catalogue)).one() == 0


def test_a_file_that_is_still_in_the_spool_is_read_there(keep, catalogue, database):
    keep(1, place="spool", PatientName="Spooled")
    catalogue.run()
    assert study_of(database).patient_name == "Spooled"


def test_a_file_that_is_gone_holds_nothing_up(keep, catalogue, database, caplog):
    keep(1).unlink()
    catalogue.run()
    assert study_of(database).patient_name == ""
    assert "cannot be catalogued (FileNotFoundError)" in caplog.text
