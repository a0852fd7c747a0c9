"""What `handlers.fast_path` and `handlers.retrieve` rely on inside pynetdicom is as it was when they were written."""

import hashlib
import inspect

import pytest
from pynetdicom import fsm, transport
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider

AS_READ = {
    DULServiceProvider.run_reactor: "e3a10eb3a093",
    DULServiceProvider._is_transport_event: "8725ed03bb8f",
    DULServiceProvider._process_recv_primitive: "4c0ebbb3e646",
    DULServiceProvider._read_pdu_data: "19f2d4e38c13",
    DULServiceProvider._decode_pdu: "fc71dd1bf853",
    DULServiceProvider.send_pdu: "7cbce5da8594",
    DIMSEServiceProvider.send_msg: "a839cf2fb469",
    DIMSEServiceProvider.receive_primitive: "5f99c86b14a1",
    Association.run_reactor: "ed8bbbe3b3d6",
    Association._run_reactor: "f28838c5559e",
    Association._serve_request: "2f24c1759cdf",
    Association._abort_blocking: "10b43ef8c63c",
    Association.kill: "8f9713666a7f",
    ACSE._negotiate_as_acceptor: "fffd360957c4",
    ACSE.is_aborted: "ad2eb3f545a9",
    fsm.DT_1: "82e5c5d41145",
    fsm.DT_2: "9ec543394e0b",
    fsm.AA_1: "8495a4665f7a",
    fsm.AR_2: "2cf6aeb89062",
    fsm.AR_5: "dc32d2343f42",
    transport.AssociationSocket.send: "1ea8158c0b51",
    transport.AssociationSocket.close: "c726c8db5381",
}
STATES = {"Evt9": "DT-1", "Evt10": "DT-2", "Evt12": "AR-2", "Evt15": "AA-1", "Evt16": "AA-3", "Evt17": "AA-4"}


@pytest.mark.parametrize(("function", "digest"), AS_READ.items(), ids=[one.__qualname__ for one in AS_READ])
def test_a_function_that_is_relied_on_was_not_changed(function, digest):
    source = inspect.getsource(function)
    assert hashlib.sha256(source.encode()).hexdigest()[:12] == digest, (
        f"pynetdicom changed {function.__qualname__}: read it beside what handlers/fast_path.py and "
        "retrieve.py rely on, run tests/integration/receiving and query_retrieve, then put the new "
        "digest here"
    )


@pytest.mark.parametrize(("event", "action"), STATES.items())
def test_an_established_association_acts_on_events_as_the_standard_has_it(event, action):
    assert fsm.TRANSITION_TABLE[event, "Sta6"].replace("_", "-") == action
