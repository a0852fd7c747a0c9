"""What workers do in tests of the engine; importable by name, as a spawned process needs it."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from inference.findings import Refusal
from node import worker_process
from node.worker import JobOutcome, JobSpec


class UnreadableError(Exception):
    """An exception that cannot be read back: its constructor wants more than it passes on."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


class Unspeakable(Exception):  # noqa: N818 - the name of a bad joke
    """An exception that cannot say what it is."""

    def __str__(self):
        raise ValueError


def by_pipeline_name(spec: JobSpec, device: str) -> JobOutcome:
    """Do what the job's pipeline is called; `who` says where it ran."""
    if spec.pipeline in RUNS:
        RUNS[spec.pipeline](spec)
    return JobOutcome(
        refusal=Refusal(code=f"{device} {os.getpid()}", reason="", remedy="") if spec.pipeline == "who" else None
    )


def returns_what_is_wrong(spec: JobSpec, _device: str) -> object:
    """Return something that is no outcome, or one that cannot be sent."""
    if spec.pipeline == "nothing":
        return None
    return JobOutcome(summary={"model": lambda: None})


def start(log_level: str, node_pid: int, pid: Any) -> None:
    """Start as a worker does, without the imports that cost time."""
    worker_process.enter(log_level, node_pid)
    pid.value = os.getpid()


def never_starts(*_: object) -> None:
    """Hang before the first job."""
    time.sleep(600)


def cannot_start(*_: object) -> None:
    """Fail before the first job, as a worker does whose libraries cannot be loaded."""
    raise ImportError("no torch")


def _hang_in_native_code(_spec: JobSpec) -> None:
    """Hang in C, holding the interpreter's lock: no thread of this process runs."""
    ctypes.PyDLL(None).sleep(600)


def _hang_deaf(_spec: JobSpec) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def _hang_with_a_child(spec: JobSpec) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (spec.storage / "child").write_text(str(child.pid))
    time.sleep(600)


def _eat_memory(_spec: JobSpec) -> None:
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * 20_000_000))
        time.sleep(0.01)


def _raise(error: BaseException) -> Callable[[JobSpec], None]:
    def run(_spec: JobSpec) -> None:
        raise error

    return run


def _kill(number: int) -> Callable[[JobSpec], None]:
    return lambda _: os.kill(os.getpid(), number)


RUNS: dict[str, Callable[[JobSpec], object]] = {
    "hang": lambda _: time.sleep(600),
    "hang-native": _hang_in_native_code,
    "hang-deaf": _hang_deaf,
    "hang-child": _hang_with_a_child,
    "work": lambda _: time.sleep(0.05),
    "die": lambda _: os._exit(7),
    "die-well": lambda _: os._exit(0),
    "abort": lambda _: os.abort(),
    "segfault": lambda _: ctypes.string_at(0),
    "killed": _kill(signal.SIGKILL),
    "eat": _eat_memory,
    "fault": _raise(RuntimeError("the disk is on fire")),
    "exit": _raise(SystemExit(3)),
    "unreadable": _raise(UnreadableError(1, 2)),
    "unspeakable": _raise(Unspeakable()),
    "no-room": _raise(OSError(errno.ENOSPC, "No space left on device")),
}
