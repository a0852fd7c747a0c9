"""An outbox with results in its database, and a clock that a test turns."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from db import schema
from db.models import Delivery, Result
from db.session import Database
from db.states import DeliveryState
from dicom_out.association import Lines, NoAssociationError, Peer
from dicom_out.sender import SendOutcome, SendState
from node.config import Config
from node.outbox import Outbox
from node.rules import Rule
from node.sections import Destination
from node.sections import Outbox as OutboxSettings
from tests.processes import LOOPBACK
from tests.rows import new_job, settled_study

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENDED = {DeliveryState.SENT, DeliveryState.WARNED, DeliveryState.UNSUPPORTED, DeliveryState.FAILED}


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **time: float) -> None:
        self.now += timedelta(**time)


class ScriptedPeers:
    """Peers without a network: each answers as its script says.

    A script takes the number of the request and the file's path, and returns a status, "abort", "unsupported", or
    "down" (asked for number 0 and no path, when it is called).
    """

    def __init__(self, **scripts: Callable[[int, Path | None], int | str]) -> None:
        self.scripts = scripts
        self.calls: list[str] = []
        self.stored: list[tuple[str, str]] = []
        self.requests: list[tuple[str, str]] = []

    @contextmanager
    def connect(self, _paths: Sequence[Path], peer: Peer, **_lines: Lines) -> Iterator["_ScriptedAssociation"]:
        self.calls.append(peer.ae_title)
        if self.scripts[peer.ae_title](0, None) == "down":
            raise NoAssociationError(f"{peer} cannot be reached")
        yield _ScriptedAssociation(self, peer.ae_title)


class _ScriptedAssociation:
    def __init__(self, peers: ScriptedPeers, ae_title: str) -> None:
        self._peers, self._ae_title, self._open = peers, ae_title, True

    def store(self, path: Path) -> SendOutcome:
        if not self._open:
            return SendOutcome(path=path, state=SendState.NOT_SENT, message="the association ended before")
        self._peers.requests.append((self._ae_title, path.stem))
        number = sum(who == self._ae_title for who, _ in self._peers.requests)
        answer = self._peers.scripts[self._ae_title](number, path)
        if answer == "abort":
            self._open = False
            return SendOutcome(path=path, state=SendState.UNREACHABLE, message="it hung up")
        if answer == "unsupported":
            return SendOutcome(path=path, state=SendState.UNSUPPORTED, message="does not take it")
        assert isinstance(answer, int)
        if answer == 0 or answer >> 12 == 0xB:
            self._peers.stored.append((self._ae_title, path.stem))
            return SendOutcome(path=path, state=SendState.WARNED if answer else SendState.SENT, status=answer)
        return SendOutcome(path=path, state=SendState.REFUSED, status=answer)


class Post:
    """An outbox with a job's results in its database, and its rounds.

    Parameters
    ----------
    folder
        Takes the database.
    objects
        The job's result files.
    destinations
        Ports on loopback by name, or whole destinations.
    outbox
        What differs from the config's section; the pauses of tests on the real clock are short.
    """

    def __init__(
        self,
        folder: Path,
        objects: Sequence[Path],
        destinations: Mapping[str, int | Destination],
        *,
        outbox: Mapping[str, float] | None = None,
        **parts: object,
    ) -> None:
        self.folder = folder
        self.database = Database(f"sqlite:///{folder / 'node.sqlite3'}")
        self._done = threading.Event()
        self._parts = parts
        self.config = config(destinations, outbox or {})
        self.outbox = self.open_outbox()
        schema.upgrade(self.database)
        with self.database.write() as session:
            now = self.outbox._clock()
            (self.job_id,) = settled_study(session, now, new_job(destinations=tuple(destinations)))
        for path in objects:
            self.add(path, *destinations)

    def add(self, path: Path, *destinations: str) -> None:
        """Have the job make one more object, as `jobs.succeed` records it."""
        now, data = self.outbox._clock(), path.read_bytes()
        with self.database.write() as session:
            row = Result(
                job_id=self.job_id,
                position=session.query(Result).count(),
                kind="sr",
                sop_instance_uid=path.stem,
                sop_class_uid=CT_IMAGE,
                series_instance_uid="1.3",
                path=str(path),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                created_at=now,
            )
            session.add(row)
            session.flush()
            session.add_all(
                Delivery(result_id=row.id, destination=name, state=DeliveryState.PENDING, next_attempt_at=now)
                for name in destinations
            )

    def open_outbox(self) -> Outbox:
        """Make an outbox on the same database, as a new start does."""
        self.outbox = Outbox(
            database=self.database,
            storage=self.folder,
            config=self.config,
            on_done=self._done.set,
            **self._parts,  # type: ignore[arg-type]
        )
        return self.outbox

    def run(self, limit_s: float = 30) -> datetime | None:
        """Run rounds until nothing more is due by the clock; return when there will be."""
        deadline = time.monotonic() + limit_s
        while True:
            self._done.clear()
            soon = self.outbox.run()
            if not self.outbox._rounds._running:
                return soon
            assert self._done.wait(max(0, deadline - time.monotonic())), "a round does not end"

    def run_until(self, condition: Callable[[list[Delivery]], bool], limit_s: float = 30) -> list[Delivery]:
        """Run rounds on the real clock until the deliveries are as they should be."""
        deadline = time.monotonic() + limit_s
        while not condition(self.deliveries()):
            assert time.monotonic() < deadline, [(d.destination, d.state, d.message) for d in self.deliveries()]
            self.outbox.run()
            self._done.wait(0.1)
            self._done.clear()
        return self.deliveries()

    def deliveries(self, destination: str | None = None) -> list[Delivery]:
        with self.database.read() as session:
            rows = session.scalars(select(Delivery).join(Result).order_by(Delivery.destination, Result.position))
            return [row for row in rows if destination in {None, row.destination}]

    def states(self, destination: str | None = None) -> list[DeliveryState]:
        return [delivery.state for delivery in self.deliveries(destination)]

    def close(self) -> None:
        self.outbox.stop()
        self.database.close()


def config(destinations: Mapping[str, int | Destination], outbox: Mapping[str, float]) -> Config:
    peers = tuple(
        Destination(name=name, host=LOOPBACK, port=place, ae_title="PACS") if isinstance(place, int) else place
        for name, place in destinations.items()
    )
    return Config(
        destinations=peers,
        rules=(Rule(name="r", modality="CT", pipelines=("lung-densitometry",), destinations=tuple(destinations)),),
        outbox=OutboxSettings(**outbox),
    )
