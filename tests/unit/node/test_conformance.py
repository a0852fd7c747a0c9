"""That the conformance statement says what the code does."""

from pathlib import Path

import pytest

from db.repository.query_keys import MATCHED
from handlers.identifier import SOP_CLASSES
from handlers.sub_operations import RetrieveStatus
from node import conformance
from node.config import shipped

PAGE = Path(__file__).resolve().parents[3] / "docs/conformance.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == conformance.statement(), f"it is old: {conformance.COMMAND}"


@pytest.mark.parametrize(
    "told",
    [
        *SOP_CLASSES,
        *(f"0x{status:04X}" for status in RetrieveStatus),
        *(keyword for keys in MATCHED.values() for keyword in keys),
        "dicom.tls_port",
        "query_retrieve.calling_ae_titles",
    ],
)
def test_it_tells_every_context_status_key_and_setting(told):
    assert told in conformance.statement()


def test_every_setting_of_the_network_is_told_with_its_comment():
    rows = {name: text for name, _, text in conformance._settings_of(shipped())}
    assert rows["`dicom.port`"] == "0: none without TLS"
    assert "[] nobody" in rows["`query_retrieve.calling_ae_titles`"]
