"""How the node is: what a monitor asks and what a person should look at."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DatabaseError

from db.faults import explain
from db.files import Storage
from db.repository import deliveries, reports
from db.repository.deliveries import Trouble
from db.repository.reports import Counts, Held, StudyReport
from db.session import Database, DatabaseGoneError
from db.states import DeliveryState, JobState
from dicom_out.sender import Peer, echo
from inference.wording import counted
from node.config import Config
from node.expiry import certificate_problems
from node.problems import Problem, Severity
from node.refused import RefusedReport, last_refused
from node.retention import RetentionReport, last_report
from node.storage_health import storage_problems
from node.tls import greets

_DELIVERY_LATE = timedelta(minutes=10)
_DESTINATION_FAILS = timedelta(minutes=2)
_DESTINATION_DEAD = timedelta(hours=1)
_NAMED = 3
_ANSWER_S = 5.0


# What failed goes nowhere without a person; what a destination cannot take is a matter of its kind.
_UNDELIVERED = {DeliveryState.FAILED: Severity.CRITICAL, DeliveryState.UNSUPPORTED: Severity.WARNING}


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """A snapshot of the node."""

    answering: bool
    spooled: int
    disk_free_gb: float
    counts: Counts | None
    studies: list[StudyReport]
    problems: list[Problem]
    retention: RetentionReport | None = None
    """None before the first pass."""
    refused: RefusedReport | None = None
    """Connections and associations; None where no node ran."""
    failing: list[str] = field(default_factory=list)
    """Destinations that fail for a shorter time than a monitor is told of; a person is told at once."""

    @property
    def severity(self) -> Severity:
        """Of the worst problem."""
        return max((p.severity for p in self.problems), default=Severity.OK)


def examine(config: Config, *, newest: int = 10, study_instance_uid: str | None = None) -> Health:
    """Look at a node from outside: its port, its spool, its database.

    Parameters
    ----------
    config : Config
        Of the node.
    newest : int
        How many studies to report.
    study_instance_uid : str or None
        Reports this study instead.
    """
    storage = Storage(config.storage.path)
    silent = silent_ports(config)
    spooled = len(storage.spooled()) if storage.spool.is_dir() else 0
    disk_free_gb = shutil.disk_usage(storage.root if storage.root.is_dir() else storage.root.anchor).free / 1e9
    problems = [
        *_service_problems(config, silent),
        *certificate_problems(config),
        *storage_problems(config.storage, free_bytes=disk_free_gb * 1e9),
    ]
    counts, studies, failing = None, [], list[Trouble]()
    if storage.database.is_file():
        database = Database(f"sqlite:///{storage.database}")
        try:
            with database.read() as session:
                counts = reports.counts(session)
                studies = reports.studies(session, newest=newest, study_instance_uid=study_instance_uid)
                failing = deliveries.troubles(session)
            problems += [*_work_problems(counts, config), *_destination_problems(failing)]
        except (DatabaseError, DatabaseGoneError) as error:
            why = explain(error) or str(error).splitlines()[0]
            problems.append(Problem(severity=Severity.CRITICAL, message=f"the database cannot be read: {why}"))
        finally:
            database.close()
    return Health(
        answering=len(silent) < len(_ports(config)),
        spooled=spooled,
        disk_free_gb=round(disk_free_gb, 1),
        counts=counts,
        studies=studies,
        problems=problems,
        retention=last_report(storage),
        refused=last_refused(storage),
        failing=[_said(trouble) for trouble in failing if not _is_problem(trouble)],
    )


def answers(config: Config) -> bool:
    """Say whether a node answers at a port where this configuration has it listen."""
    return len(silent_ports(config)) < len(_ports(config))


def silent_ports(config: Config) -> list[int]:
    """Return the ports at which this configuration has a node listen, and none answers.

    It is called by its own AE title, by which this machine may always ask. Over TLS a greeting is enough: whether our
    certificate is also good to call with, is the matter of those who issued it.
    """
    dicom, host = config.dicom, _reachable(config.dicom.host)
    silent = []
    if dicom.port:
        name = dicom.ae_title
        peer = Peer(host=host, port=dicom.port, ae_title=name, our_ae_title=name, timeout_s=_ANSWER_S)
        silent += [] if echo(peer) else [dicom.port]
    if dicom.tls_port:
        silent += [] if greets(host, dicom.tls_port, timeout_s=_ANSWER_S) else [dicom.tls_port]
    return silent


def _ports(config: Config) -> list[int]:
    return [port for port in (config.dicom.port, config.dicom.tls_port) if port]


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _service_problems(config: Config, silent: Sequence[int]) -> list[Problem]:
    if not silent:
        return []
    ports = " and ".join(str(port) for port in silent)
    remedy = (
        "see its log, and start it anew" if len(silent) < len(_ports(config)) else "start it with `opacity-node serve`"
    )
    message = f"{config.dicom.ae_title} does not answer on port {ports}; {remedy}"
    return [Problem(severity=Severity.CRITICAL, message=message)]


def _destination_problems(failing: Sequence[Trouble]) -> list[Problem]:
    now = datetime.now(UTC)
    return [
        Problem(
            severity=Severity.CRITICAL if now - trouble.since > _DESTINATION_DEAD else Severity.WARNING,
            message=_said(trouble),
        )
        for trouble in failing
        if _is_problem(trouble)
    ]


def _is_problem(trouble: Trouble) -> bool:
    """Say whether it lasts too long to be a restart of the peer."""
    return datetime.now(UTC) - trouble.since > _DESTINATION_FAILS


def _said(trouble: Trouble) -> str:
    wait = "waits" if trouble.objects == 1 else "wait"
    return (
        f"destination {trouble.destination} fails since {trouble.since:%Y-%m-%d %H:%M} UTC, "
        f"{counted(trouble.objects, 'object')} {wait} for it: {trouble.message}"
    )


def _work_problems(counts: Counts, config: Config) -> list[Problem]:
    problems = [Problem(severity=Severity.WARNING, message=_held(*hold)) for hold in counts.holds.items()]
    problems += [
        Problem(
            severity=Severity.WARNING,
            message=f"{counted(number, 'job')} {state.value}; see `opacity-node jobs`, "
            f"then `opacity-node retry --state {state.value}`",
        )
        for state in (JobState.FAILED, JobState.QUARANTINED)
        if (number := counts.jobs.get(state.value))
    ]
    problems += [
        Problem(
            severity=severity,
            message=f"{counted(number, 'result object')} not delivered ({state.value}); "
            f"see `opacity-node deliveries --state {state.value}`",
        )
        for state, severity in _UNDELIVERED.items()
        if (number := counts.deliveries.get(state.value))
    ]
    longest = timedelta(seconds=2 * config.engine.time_limit_s)
    if counts.oldest_running_job_since and datetime.now(UTC) - counts.oldest_running_job_since > longest:
        problems.append(
            Problem(severity=Severity.CRITICAL, message="a job is marked as running for twice its time limit")
        )
    oldest = counts.oldest_pending_delivery_since
    if oldest and datetime.now(UTC) - oldest > _DELIVERY_LATE:
        problems.append(
            Problem(
                severity=Severity.WARNING,
                message=f"results wait for delivery since {oldest:%Y-%m-%d %H:%M} UTC; is the destination up?",
            )
        )
    return problems


def _held(reason: str, held: Held) -> str:
    """Say it in one line, however many they are: after a rebuild it may be every study."""
    if held.studies == 1:
        return f"study {held.first[0]} is held ({reason}); see `opacity-node resolve {held.first[0]}`"
    names = ", ".join(held.first[:_NAMED] + ["..."] * (held.studies > _NAMED))
    return f"{held.studies} studies are held ({reason}): {names}; see `opacity-node resolve STUDY`"
