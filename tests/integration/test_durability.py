"""What is answered with success was made durable before: the order of a node's system calls, as the kernel saw them.

The name of a file is synced ahead, with those of others, by whoever made it; its bytes by the thread that answers.
"""

import re
import subprocess
import sys
from dataclasses import dataclass

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
FILE = r"(?P<file>[^\"<>]*/incoming/[0-9a-f]+\.part)"
STEPS = {
    "make": re.compile(rf'openat\(.*"{FILE}", [^)]*O_CREAT'),
    "sync names": re.compile(r"fsync\(\d+<[^>]*/incoming>"),
    "sync bytes": re.compile(rf"fsync\(\d+<{FILE}>"),
    "move": re.compile(rf'rename\("{FILE}", "[^"]*/spool/\d+-[0-9a-f]+\.dcm"'),
    "answer": re.compile(rf"sendto\(.*{re.escape(STORED)}.*{re.escape(SUCCESS)}"),
}


@dataclass(frozen=True)
class Call:
    """One of the steps, and the lines of the trace in which it began and ended."""

    step: str
    file: str
    thread: str
    began: int
    ended: int


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
    return list(read(trace.read_text().splitlines()))


def read(lines):
    unfinished = {}
    for number, line in enumerate(lines):
        thread, _, call = line.partition(" ")
        began = number
        if call.endswith("<unfinished ...>"):
            unfinished[thread] = number, call.removesuffix("<unfinished ...>")
            continue
        if "resumed>" in call:
            began, first = unfinished.pop(thread)
            call = first + call.partition("resumed>")[2]
        assert not re.search(r"f(data)?sync.*= -1", call), call
        for step, pattern in STEPS.items():
            if match := pattern.search(call):
                yield Call(step, match.groupdict().get("file", ""), thread, began, number)


def test_name_and_bytes_are_on_stable_storage_before_success_leaves_the_socket(calls):
    answers = [call for call in calls if call.step == "answer"]
    assert len(answers) == INSTANCES
    files = set()
    for answer in answers:
        before = [call for call in calls if call.thread == answer.thread and call.ended < answer.began]
        synced, moved = [call for call in before if call.step in {"sync bytes", "move"}][-2:]
        assert (synced.step, moved.step) == ("sync bytes", "move")
        assert synced.file == moved.file
        (made,) = [call for call in calls if call.step == "make" and call.file == moved.file]
        assert any(
            call.step == "sync names" and made.ended < call.began and call.ended < answer.began for call in calls
        )
        files.add(moved.file)
    assert len(files) == INSTANCES, "one file for two answers"


def _strace():
    return need(find_tool("strace"), "strace is not installed (Debian: apt-get install strace)")
