"""The process that a worker is: how it starts, and that it dies with the node."""

import ctypes
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom

_PR_SET_PDEATHSIG = 1


def start(log_level: str, node_pid: int, pid: Any) -> None:  # noqa: ANN401 - a c_int that the node shares
    """Prepare a worker process, import what every job needs, and tell the node who takes its jobs."""
    enter(log_level, node_pid)
    from dicom_out import build  # noqa: F401 - paid here once instead of in the first job
    from inference import ct_lungs, registry  # noqa: F401 - paid here once instead of in the first job

    pid.value = os.getpid()


def enter(log_level: str, node_pid: int) -> None:
    """Have this process die with the node, and leave signals to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with(node_pid)
    os.setpgid(0, 0)  # so that what a pipeline starts can be ended with it
    _offer_to_the_kernel()
    quieten()
    logging.basicConfig(level=log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s worker %(message)s")


def quieten() -> None:
    """Keep libraries from warning: what they say quotes the values of headers."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("highdicom").setLevel(logging.WARNING)


def die_with(node_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, which is at the end of the node."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != node_pid:
        os._exit(1)  # the node died before the kernel was told


def _offer_to_the_kernel() -> None:
    """When memory runs out the kernel is to end a worker, which can be replaced, and not the node."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
