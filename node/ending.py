"""How a run ends: in an outcome, or in a failure that says whose fault it was.

Nothing that a pipeline raises or returns crosses from the worker to the node as it is: an exception of a strange class,
or an object that cannot be read back, would break what it arrives in.
"""

import errno
import logging
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pebble import ProcessExpired

from node.ahead import forget, infer_together
from node.worker import JobOutcome, JobSpec

logger = logging.getLogger(__name__)

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_MESSAGE_LIMIT = 500


class Ending(StrEnum):
    """How a run ended that gave no outcome."""

    FAULT = "fault"
    NO_ROOM = "no-room"
    """Its results could not be written: a fault of the disk and none of the job."""
    TIME_LIMIT = "time-limit"
    MEMORY_LIMIT = "memory-limit"
    WORKER_DIED = "worker-died"
    STOPPED = "stopped"
    UNEQUAL_RESULT = "unequal-result"

    @property
    def is_death(self) -> bool:
        """Whether the worker died or was killed at the job."""
        return self in {Ending.TIME_LIMIT, Ending.MEMORY_LIMIT, Ending.WORKER_DIED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A run that gave no outcome."""

    ending: Ending
    message: str


Run = Callable[[JobSpec, str], JobOutcome]


def run_contained(run: Run, specs: Sequence[JobSpec], device: str) -> bytes:
    """Run jobs in a worker; return the outcome or failure of each, pickled."""
    if len(specs) > 1:
        infer_together(specs, device)
    outcomes = [_run(run, spec, device) for spec in specs]
    forget()
    return pickle.dumps(outcomes)


def _run(run: Run, spec: JobSpec, device: str) -> JobOutcome | Failure:
    try:
        outcome = run(spec, device)
        if not isinstance(outcome, JobOutcome):
            raise TypeError(f"the run returned {type(outcome).__name__} where a JobOutcome belongs")
        pickle.loads(pickle.dumps(outcome))  # noqa: S301 - our own bytes; fails here rather than in the node
    except BaseException as error:  # the job runner's edge; a pipeline may even raise SystemExit
        logger.warning("fault in job %d", spec.job_id, exc_info=error)
        no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
        message = f"{type(error).__name__}: {_text(error)}"[:_MESSAGE_LIMIT]
        return Failure(ending=Ending.NO_ROOM if no_room else Ending.FAULT, message=message)
    return outcome


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception may fail to say what it is
        return "(it does not say why)"


def words_for_death(error: ProcessExpired) -> str:
    """Say how a worker ended, from its exit status."""
    status = error.exitcode
    if status >= 0:
        return f"the worker ended itself with status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else "an unknown signal"
    if -status == signal.SIGKILL:
        return "the worker was killed by signal 9 (SIGKILL); perhaps by the kernel for lack of memory: see its log"
    return f"the worker crashed or was killed by signal {-status} ({name})"
