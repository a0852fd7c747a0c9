from datetime import UTC, datetime, timedelta

import pytest

from db import schema
from db.repository.intake import ReceivedInstance
from db.session import Database

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    schema.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def received():
    """Make received instances; every one differs by its number."""

    def make(number: int, **changes) -> ReceivedInstance:
        values = {
            "spool_name": f"{number:020d}-00000000.dcm",
            "path": f"archive/{number}.dcm",
            "size": 100,
            "study_instance_uid": "1.2.3",
            "series_instance_uid": "1.2.3.4",
            "sop_instance_uid": f"1.2.3.4.{number}",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "dataset_sha256": f"{number:064d}",
            "pixel_sha256": f"{number:064d}",
            "modality": "CT",
            "series_number": 2,
            "series_description": "chest",
            "patient_id": "P1",
            "issuer_of_patient_id": "",
            "patient_name": "",
            "patient_birth_date": "",
            "patient_sex": "",
            "header": {"sop_instance_uid": f"1.2.3.4.{number}"},
            "calling_ae_title": "SCANNER",
            "called_ae_title": "NODE",
            "peer_address": "127.0.0.1",
            "association_id": "a",
            "received_at": NOON + timedelta(seconds=number),
        }
        return ReceivedInstance(**(values | changes))

    return make
