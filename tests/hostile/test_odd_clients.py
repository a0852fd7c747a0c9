"""What DCMTK's tools can be told to do to a port: odd proposals, broken files, and ends in mid-sentence."""

import concurrent.futures
import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.hostile.conftest import FULL
from tests.peers import PEER_ENVIRONMENT, dcmsend, need_tool, storescu
from tests.processes import LOOPBACK

FRAMES = 1500 if FULL else 120
PARALLEL = 20 if FULL else 8
PRIVATE_CLASS = "1.2.826.0.1.3680043.8.498.999.1"
MEMORY_MB = 40


@pytest.fixture
def changed(images: list[Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a file of an image after a change."""

    def change(edit: Callable[[Any], None]) -> Path:
        dataset = pydicom.dcmread(images[0])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
        edit(dataset)
        path = tmp_path / "changed.dcm"
        dataset.save_as(path)
        return path

    return change


@pytest.fixture(scope="module")
def huge(images, tmp_path_factory):
    """Return an object of many frames."""
    dataset = pydicom.dcmread(images[0])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = FRAMES, 512, 512
    dataset.PixelData = np.zeros(FRAMES * 512 * 512, "<i2").tobytes()
    path = tmp_path_factory.mktemp("huge") / "huge.dcm"
    dataset.save_as(path)
    return path


def refusals(node):
    """Return how many bytes the quarantine holds files of."""
    return len(list(node.storage.quarantine.glob("*.dcm")))


def told(node, wanted, limit_s=10):
    deadline = time.monotonic() + limit_s
    while wanted not in node.log.read_text():
        assert time.monotonic() < deadline, f"the log does not say: {wanted}"
        time.sleep(0.05)


ODD = {
    "nothing odd": (),
    "three times the same": ("--repeat", "3"),
    "an unknown name for us": ("-aec", "NOSUCH"),
    "an odd name of its own": ("-aet", "A B*?"),
    "big endian alone": ("-xb",),
    "JPEG lossless too": ("-xs",),
    "deflated too": ("-xd",),
    "an abort for a goodbye": ("--abort",),
    "the smallest PDUs": ("-pdu", "4096", "--max-send-pdu", "4096"),
}


@pytest.mark.parametrize("options", ODD.values(), ids=ODD)
def test_an_odd_proposal_of_storescu_is_taken(port, images, options):
    done = storescu(images[0], LOOPBACK, port, "OPACITY_NODE", options=options)
    assert "Received Store Response (Success)" in done.stdout, done.stdout


def test_a_proposal_of_every_class_that_storescu_knows_is_taken(port, images):
    command = [need_tool("storescu"), "-v", "-aec", "OPACITY_NODE", LOOPBACK, str(port), images[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=PEER_ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("options", [("-ppc", "128", "-pts", "38"), ("--abort",)], ids=["many", "abort"])
def test_an_odd_echo_is_answered(port, options):
    command = [need_tool("echoscu"), "-v", *options, "-aec", "OPACITY_NODE", LOOPBACK, str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=PEER_ENVIRONMENT, check=False)
    assert "Received Echo Response (Success)" in done.stdout + done.stderr


def private(dataset):
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = PRIVATE_CLASS


def short(dataset):
    dataset.PixelData = dataset.PixelData[:1000]


@pytest.mark.parametrize("edit", [private, short])
def test_what_is_odd_and_whole_is_stored_as_it_is(port, changed, edit):
    assert dcmsend(changed(edit), LOOPBACK, port, "OPACITY_NODE").succeeded == 1


def nameless(dataset):
    del dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID


def climbing_study(dataset):
    dataset.PatientName, dataset.PatientID = "Ünï^Cødé^漢字", "../../etc/passwd"
    dataset.StudyInstanceUID = "../../../tmp/evil"


def climbing_instance(dataset):
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3/../../x"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("edit", [nameless, climbing_study, climbing_instance])
def test_what_cannot_be_told_apart_is_refused_and_kept_for_a_person(node, port, changed, edit):
    before = refusals(node)
    sent = dcmsend(changed(edit), LOOPBACK, port, "OPACITY_NODE", options=["--no-uid-checks"])
    assert sent.sent == 1
    assert sent.succeeded == 0
    assert refusals(node) == before + 1
    assert "evil" not in [path.name for path in node.storage.root.rglob("*")]
    assert "漢字" not in node.log.read_text()


def test_a_file_that_the_sender_cannot_read_to_its_end_costs_nothing(port, images, tmp_path):
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(images[0].read_bytes()[:4000])
    dcmsend(cut, LOOPBACK, port, "OPACITY_NODE", options=["--no-halt"])


def test_a_huge_object_passes_through_little_memory(node, port, huge):
    process, peak = psutil.Process(node.process.pid), 0
    before = process.memory_info().rss
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(storescu, huge, LOOPBACK, port, "OPACITY_NODE")
        while not sending.done():
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.005)
    assert "Received Store Response (Success)" in sending.result().stdout
    assert peak - before < min(MEMORY_MB * 1_000_000, huge.stat().st_size)


def test_a_sender_that_is_killed_in_the_middle_leaves_nothing(node, port, huge):
    command = [need_tool("storescu"), "-R", "-aec", "OPACITY_NODE", LOOPBACK, str(port), huge]
    with subprocess.Popen(command, env=PEER_ENVIRONMENT) as sender:
        while (
            not (begun := any(large(path) for path in node.storage.incoming.glob("*.part"))) and sender.poll() is None
        ):
            time.sleep(0.001)
        sender.kill()
    assert begun
    deadline = time.monotonic() + 20
    while any(large(path) for path in node.storage.incoming.iterdir()):
        assert time.monotonic() < deadline, "what was not whole is left"
        time.sleep(0.05)


def large(path):
    with contextlib.suppress(OSError):
        return path.stat().st_size > 1_000_000
    return False


def test_many_senders_at_once_are_all_served(port, images):
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        sent = list(pool.map(lambda _: storescu(images[0], LOOPBACK, port, "OPACITY_NODE"), range(2 * PARALLEL)))
    assert ["Received Store Response (Success)" in done.stdout for done in sent] == [True] * len(sent)
