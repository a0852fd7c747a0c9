"""Maps from the worker to their destinations: deflated where they are taken so, inflated elsewhere, or not at all."""

import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_out.association import Peer
from dicom_out.build import ResultKind, build
from dicom_out.sender import SendState, connect, send
from inference.findings import Heatmap
from node.demo.harness import RunningNode, write_config
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests import factories
from tests.fake_pacs import FakePacs
from tests.orthanc import Orthanc
from tests.peers import StoreScp
from tests.unit.dicom_out.conftest import a_context

LIMIT_S = 120
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


def peer_of(place):
    return Peer(host="127.0.0.1", port=place.port, ae_title=place.ae_title, our_ae_title="TEST")


def write_map(folder, values):
    """Write a map on the grid of a small stack; return its file."""
    series = factories.ct_series(shape=values.shape)
    heatmap = Heatmap(
        label="local opacity",
        quantity=factories.OPACITY_PERCENTAGE,
        unit=factories.PERCENT,
        values=values,
        grid=series.geometry,
    )
    found = factories.findings(series, heatmaps=(heatmap,))
    (item,) = [item for item in build(found, series, a_context(), maps=[ResultKind.MAP]) if item.frames]
    path = folder / "map.dcm"
    path.write_bytes(b"".join(item.file()))
    return path


@pytest.fixture
def stored_map(tmp_path):
    return write_map(tmp_path, np.random.default_rng(1).random((12, 48, 56), dtype=np.float32))


def received_as(file):
    return dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID


def test_a_peer_that_takes_deflated_objects_gets_the_stored_bytes(fake_pacs, stored_map):
    (outcome,) = send([stored_map], peer_of(fake_pacs))
    assert outcome.state is SendState.SENT
    (request,) = fake_pacs.stored
    assert request.transfer_syntax == DeflatedExplicitVRLittleEndian
    assert request.file.read_bytes()[-20_000:] == stored_map.read_bytes()[-20_000:]


def test_a_peer_that_does_not_gets_the_same_object_inflated_and_nothing_is_left_of_it(tmp_path, stored_map):
    pacs = FakePacs(tmp_path / "pacs")
    pacs.transfer_syntaxes = PLAIN
    before = sorted(stored_map.parent.iterdir())
    with pacs:
        (outcome,) = send([stored_map], peer_of(pacs))
    assert (outcome.state, outcome.path) == (SendState.SENT, stored_map)
    (request,) = pacs.stored
    assert request.transfer_syntax == ExplicitVRLittleEndian
    got, stored = dcmread(request.file), dcmread(stored_map)
    assert np.array_equal(got.pixel_array, stored.pixel_array)
    assert got == stored
    assert {path for path in stored_map.parent.iterdir() if path.is_file()} == {p for p in before if p.is_file()}


def test_a_peer_that_takes_no_maps_is_spared_and_the_others_go(tmp_path, stored_map):
    report = tmp_path / "report.dcm"
    series = factories.ct_series()
    report.write_bytes(b"".join(build(factories.findings(series), series, a_context())[-1].file()))
    with FakePacs(tmp_path / "pacs", refused_sop_classes={PARAMETRIC_MAP}) as pacs:
        outcomes = list(send([stored_map, report], peer_of(pacs)))
    assert [outcome.state for outcome in outcomes] == [SendState.UNSUPPORTED, SendState.SENT]
    assert "does not take Parametric Map Storage" in outcomes[0].message


def test_a_damaged_map_is_told_and_the_association_goes_on(tmp_path, stored_map):
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(stored_map.read_bytes()[:-5000])
    pacs = FakePacs(tmp_path / "pacs")
    pacs.transfer_syntaxes = PLAIN
    with pacs:
        outcomes = list(send([damaged, stored_map], peer_of(pacs)))
    assert [outcome.state for outcome in outcomes] == [SendState.UNSUPPORTED, SendState.SENT]
    assert "damaged: the stream is cut off" in outcomes[0].message


@pytest.mark.parametrize("option", ["+xd", "+x="], ids=["deflated", "explicit"])
def test_storescp_keeps_equal_values_either_way(tmp_path, stored_map, option):
    with StoreScp(tmp_path / "scp", options=[option]) as scp:
        (outcome,) = send([stored_map], peer_of(scp))
        (got,) = scp.datasets()
    assert outcome.state is SendState.SENT
    assert (got.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian) == (option == "+xd")
    assert np.array_equal(got.pixel_array, dcmread(stored_map).pixel_array)


@pytest.mark.parametrize("accepted", [True, False], ids=["deflated", "explicit"])
def test_orthanc_keeps_equal_values_either_way(tmp_path, stored_map, accepted):
    with Orthanc(tmp_path / "orthanc", settings={"DeflatedTransferSyntaxAccepted": accepted}) as orthanc:
        (outcome,) = send([stored_map], peer_of(orthanc))
        (instance,) = orthanc.wait_for_instances(1)
        got = dcmread(orthanc.download(instance, tmp_path / "got"))
    assert outcome.state is SendState.SENT
    assert np.array_equal(got.pixel_array, dcmread(stored_map).pixel_array)


def test_a_map_of_many_megabytes_is_never_in_memory_however_slow_the_peer(tmp_path):
    path = write_map(tmp_path, np.zeros((100, 512, 512), dtype=np.float32))
    process, done, seen, waiting = psutil.Process(), threading.Event(), [], []

    def watch(line):
        while not done.wait(0.005):
            seen.append(process.memory_info().rss)
            waiting.append(line.qsize())

    pacs = FakePacs(tmp_path / "pacs")
    pacs.transfer_syntaxes = PLAIN
    with pacs:
        pacs.reading.clear()
        before = process.memory_info().rss
        with connect([path], replace(peer_of(pacs), timeout_s=2)) as sender:
            watcher = threading.Thread(target=watch, args=(sender._association.dul.to_provider_queue,))
            watcher.start()
            outcome = sender.store(path)
            done.set()
            watcher.join()
        pacs.reading.set()
    assert outcome.state is SendState.UNREACHABLE
    assert max(seen) - before < 40_000_000
    assert 0 < max(waiting) < 100, "messages of 128 kB"


SECOND = """
[[destinations]]
name = "old-pacs"
host = "127.0.0.1"
port = {port}
ae_title = "PACS"
objects = ["report", "key-image"]
"""


def test_two_destinations_of_one_rule_each_get_what_they_want(tmp_path, fake_pacs):
    chest = write(
        tmp_path / "chest", to_datasets(make_chest(slices=48, rows=96, columns=96, spacing_mm=(5.0, 3.7, 3.7)))
    )
    with FakePacs(tmp_path / "old", ae_title="PACS") as old:
        config = write_config(tmp_path, pacs_port=fake_pacs.port, pacs_ae_title=fake_pacs.ae_title)
        text = config.read_text().replace('destinations = ["demo-pacs"]', 'destinations = ["demo-pacs", "old-pacs"]')
        config.write_text(text + SECOND.format(port=old.port))
        with RunningNode(config) as node:
            assert send_files(chest, node.peer).stored == len(chest)
            deadline = time.monotonic() + LIMIT_S
            while not (jobs := [j for s in node.studies() for j in s.jobs if j.deliveries]) or any(
                d.state == "pending" for j in jobs for d in j.deliveries
            ):
                assert time.monotonic() < deadline, node.log.read_text()
                time.sleep(0.1)
        (job,) = jobs
        assert {d.state for d in job.deliveries} == {"sent"}
        wanted = {name: [d.kind for d in job.deliveries if d.destination == name] for name in ("demo-pacs", "old-pacs")}
        assert wanted["old-pacs"] == ["sr", "key-image"]
        assert wanted["demo-pacs"][-3:] == ["sr", "map", "key-image"]
        (request,) = [r for r in fake_pacs.stored if r.sop_class_uid == PARAMETRIC_MAP]
        assert PARAMETRIC_MAP not in {r.sop_class_uid for r in old.stored}
    stored = dcmread(request.file)
    sources = sorted(
        (dcmread(path, stop_before_pixels=True) for path in chest), key=lambda d: d.ImagePositionPatient[2]
    )
    assert stored.NumberOfFrames == len(sources)
    for source, frame in zip(sources, stored.PerFrameFunctionalGroupsSequence, strict=True):
        assert frame.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    assert 0 < stored.pixel_array.max() <= 1
