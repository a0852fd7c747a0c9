"""`opacity-node bench receive`: every receiver takes what is sent, and a very large instance takes no memory."""

import pytest

from node.bench import receivers
from node.bench.receive import SenderFailedError, _send, measure
from node.bench.receivers import StoreScp
from node.bench.sender import Load
from tests.peers import need_tool
from tests.processes import LOOPBACK, free_port

LARGE_GB = 0.15
GROWTH_MB = 40


def test_the_node_receives_beside_storescp_and_a_large_instance_is_never_held_in_memory(monkeypatch):
    need_tool("storescp")
    monkeypatch.setattr(receivers, "_WORKERS_START_S", 0.0)
    monkeypatch.setattr("node.bench.receive.PEERS", {StoreScp.name: StoreScp})
    report = measure(instances=10, associations=[2], runs=1, archived=0, large_gb=[LARGE_GB])
    assert [(rate.receiver, rate.associations) for rate in report.rates] == [("this node", 2), (StoreScp.name, 2)]
    assert report.ratios[StoreScp.name][2] > 0
    (large,) = report.large
    assert large.gb == pytest.approx(LARGE_GB, rel=0.01)
    assert large.peak_mb - large.idle_mb < GROWTH_MB


def test_a_peer_that_is_not_installed_is_said_to_be(monkeypatch):
    monkeypatch.setattr(receivers, "_SYSTEM_FOLDERS", ())
    assert receivers.absent() == ["storescp --fork", "Orthanc"]


def test_a_receiver_that_lets_nobody_in_is_no_figure():
    load = Load(host=LOOPBACK, port=free_port(), called_ae_title="DEAF", study_uid="1.2", instances=1)
    with pytest.raises(SenderFailedError, match="deaf let a sender not in"):
        _send([load], to="deaf")
