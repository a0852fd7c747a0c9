"""What is answered with success was made durable before: the order of a node's system calls, as the kernel saw them."""

import re
import subprocess
import sys
from collections import defaultdict

import psutil
import pytest

from dicom_out.association import Peer
from dicom_out.sender import SendState, send
from node.demo.harness import free_port
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.peers import find_tool, need
from tests.processes import LOOPBACK, wait_for_port

LIMIT_S = 90
INSTANCES = 3
STORED = r"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x80"
SUCCESS = r"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"
"""Command Field (0000,0100) and Status (0000,0900) of a C-STORE response, as strace writes them."""
CONFIG = """
[dicom]
ae_title = "NODE"
port = {port}

[storage]
path = "node"
low_water_mb = 0
"""
STEPS = (
    ("create", re.compile(r'openat\(.*"(?P<file>[^"]*/spool/[^"]*)\.part", [^)]*O_CREAT')),
    ("fsync the file", re.compile(r"fsync\(\d+<(?P<file>[^>]*/spool/[^>]*)\.part>")),
    ("rename", re.compile(r'rename\("(?P<file>[^"]*/spool/[^"]*)\.part", "(?P=file)"')),
    ("fsync the folder", re.compile(r"fsync\(\d+<[^>]*/spool>")),
    ("answer", re.compile(rf"sendto\(.*{re.escape(STORED)}.*{re.escape(SUCCESS)}")),
)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Return the lines of strace of a node that was sent instances, by thread."""
    folder = tmp_path_factory.mktemp("traced")
    slices = make_chest(slices=INSTANCES, rows=16, columns=16, spacing_mm=(20.0, 9.0, 9.0))
    images = write(folder / "images", to_datasets(slices))
    port, trace = free_port(), folder / "trace"
    (folder / "config.toml").write_text(CONFIG.format(port=port))
    options = ["-f", "-y", "-x", "-s", "1024", "-e", "trace=openat,rename,fsync,fdatasync,sendto", "-o", trace]
    serve = [sys.executable, "-m", "node", "serve", "--config", folder / "config.toml"]
    with subprocess.Popen([_strace(), *options, *serve], stderr=subprocess.PIPE, text=True) as strace:
        try:
            wait_for_port(port, timeout_s=LIMIT_S)
            peer = Peer(host=LOOPBACK, port=port, ae_title="NODE", our_ae_title="SCU", timeout_s=30)
            assert {outcome.state for outcome in send(images, peer)} == {SendState.SENT}
        finally:
            for process in psutil.Process(strace.pid).children():
                process.terminate()
            _, said = strace.communicate(timeout=LIMIT_S)
    assert "ptrace" not in said, said
    found = defaultdict(list)
    for line in trace.read_text().splitlines():
        thread, _, call = line.partition(" ")
        found[thread].append(call.strip())
    return found


def test_file_and_folder_are_on_stable_storage_before_success_leaves_the_socket(calls):
    answered = 0
    for thread in calls.values():
        steps = [step for call in thread for step in _steps(call)]
        for at, (step, _) in enumerate(steps):
            if step == "answer":
                answered += 1
                before = steps[max(0, at - 4) : at]
                assert [name for name, _ in before] == ["create", "fsync the file", "rename", "fsync the folder"]
                assert len({file for _, file in before[:3]}) == 1
    assert answered == INSTANCES


def test_every_sync_on_the_way_to_an_answer_succeeded(calls):
    """A call that another thread's interrupts is written in two lines; its result stands in the second."""
    for thread in calls.values():
        failed = [call for call in thread if re.search(r"f(data)?sync.*= -1", call)]
        assert failed == []


def _strace():
    return need(find_tool("strace"), "strace is not installed (Debian: apt-get install strace)")


def _steps(call):
    for name, pattern in STEPS:
        if match := pattern.search(call):
            yield name, match.groupdict().get("file", "")
