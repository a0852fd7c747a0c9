"""What the server tells of those whom it does not let in."""

import time

import pytest
from pynetdicom import AE

from handlers.association import Associations
from handlers.commitment import CommitmentHandler
from handlers.refusals import Refusals
from node.demo.harness import free_port
from node.sections import Dicom
from node.server import Server

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def serve(port):
    """Start a server that stores nothing; return a call to it under a name."""
    started = []

    def start(**settings):
        server = Server(
            Dicom(port=port, ae_title="US", **settings),
            store=lambda _event: 0xA700,
            associations=Associations(),
            commitment=CommitmentHandler(lambda _report: True),
            refusals=Refusals(),
        )
        server.start()
        started.append(server)

    yield start
    for server in started:
        server.stop(grace_s=1)


def call(port, ae_title):
    entity = AE(ae_title=ae_title)
    entity.add_requested_context(VERIFICATION)
    return entity.associate("127.0.0.1", port, ae_title="OTHER")


def test_a_stranger_is_told_of_by_both_names_with_the_remedy(serve, port, caplog):
    serve(calling_ae_titles=("SCANNER",))
    assert call(port, "STRANGER").is_rejected
    (said,) = [r.getMessage() for r in caplog.records if r.name == "handlers.refusals" and r.levelname == "WARNING"]
    assert said == (
        "rejected an association of 'STRANGER' at 127.0.0.1, which called us 'OTHER': "
        "its AE title is not in dicom.calling_ae_titles; add it there if it may send"
    )


def test_one_association_too_many_is_told_of_with_the_setting(serve, port, caplog):
    serve(maximum_associations=1)
    first = call(port, "ONE")
    second = call(port, "TWO")
    first.release()
    assert second.is_rejected
    assert "dicom.maximum_associations" in caplog.text


def test_an_echo_leaves_no_line_in_the_log(serve, port, caplog):
    caplog.set_level("DEBUG", logger="handlers")
    serve()
    association = call(port, "STATUS")
    assert association.send_c_echo().Status == 0
    association.release()
    deadline = time.monotonic() + 5
    while "association from STATUS ended" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    (line,) = [r for r in caplog.records if "association from STATUS ended" in r.getMessage()]
    assert line.levelname == "DEBUG"
