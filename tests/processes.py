"""Processes that tests start: ended whatever happens, and none left behind."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

LOOPBACK = "127.0.0.1"
STOP_TIMEOUT_S = 10
SESSION_MARK = "TESTS_OF_OPACITY_NODE"
"""Set in the environment of the test session: whatever it starts inherits it, also when its parent has died."""


def free_port() -> int:
    """Return a port that was free a moment ago; nothing holds it for the caller."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, *, timeout_s: float, process: "Daemon | None" = None) -> None:
    """Wait until something answers on a loopback port; fail early when ``process`` has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process is not None and process.returncode is not None:
            pytest.fail(f"{process.name} ended with {process.returncode} before it listened\n{process.log_text()}")
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail(f"nothing listens on port {port} after {timeout_s} s\n{process.log_text() if process else ''}")


class Daemon:
    """A program that runs beside a test, in a process group of its own, its output in ``log``.

    It ends with :meth:`stop` or the ``with`` block; where ``setpriv`` exists (Linux) also when the test process
    itself is killed, or the thread that started it ends.
    """

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = Path(command[0]).name
        self.log = log
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status."""
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """Send SIGKILL to the program alone, as a crash would; :meth:`stop` still ends its children."""
        self._process.kill()
        self._process.wait()

    def stop(self, *, grace_s: float = STOP_TIMEOUT_S) -> int:
        """End it with SIGTERM, after ``grace_s`` its whole group with SIGKILL; return the exit status."""
        if grace_s and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def log_text(self, lines: int = 60) -> str:
        """Return the end of its output, for the message of a failed test."""
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.name}, last lines of {self.log}", *tail])


def left_behind(mark: str, *, grace_s: float) -> list[psutil.Process]:
    """Return the processes of this test session that still run after ``grace_s``.

    Those are our children, and what carries our mark although its parent has died.
    """
    deadline = time.monotonic() + grace_s
    while True:
        found = [process for process in _of_session(mark) if not _is_of_multiprocessing(process)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def describe(processes: Iterable[psutil.Process]) -> str:
    return ", ".join(f"{process.pid} {' '.join(_command(process))[:120]}" for process in processes)


def _of_session(mark: str) -> list[psutil.Process]:
    ours = psutil.Process()
    found = {process.pid: process for process in ours.children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != ours.pid and process.environ().get(SESSION_MARK) == mark:
                found[process.pid] = process
    return [process for process in found.values() if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _is_of_multiprocessing(process: psutil.Process) -> bool:
    """Whether it is one of the two servers that multiprocessing keeps for the life of the interpreter."""
    command = " ".join(_command(process))
    return "multiprocessing.resource_tracker" in command or "multiprocessing.forkserver" in command


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
