"""Due deliveries -> sender. Every destination has its own rounds and its own pauses: a dead one delays only itself.

Nothing is given up because a line is dead. What follows from each attempt is said in `node.retries`.
"""

import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from db.faults import Trouble
from db.repository import commitments, deliveries
from db.repository.deliveries import Attempt, DueDelivery
from db.session import Database
from db.states import DeliveryState
from dicom_out.association import Lines, NoAssociationError, Peer
from dicom_out.sender import SendOutcome, SendState, connect
from handlers.commitment import CommitmentReport
from inference.wording import counted
from node.commitment import Commitment
from node.config import Config
from node.retries import Backoff, arrived, ends_round, judge, meaning
from node.rounds import Rounds
from node.sections import Destination
from node.tls import client_context
from node.wanted import wanted

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=5)
"""`opacity-node resend` is another process and cannot wake us."""
_ROUND_FAILED = 3
"""A round that broke counts as so many failed attempts."""
_STOP_GRACE_S = 3.0
_STOP_LIMIT_S = 5.0


class Stores(Protocol):
    """An association that takes files, as `dicom_out.sender.Sender`."""

    def store(self, path: Path) -> SendOutcome:
        """Send one file."""
        ...


class Connects(Protocol):
    """Opens associations, as `dicom_out.sender.connect`."""

    def __call__(self, paths: Sequence[Path], peer: Peer, *, lines: Lines) -> AbstractContextManager[Stores]:
        """Open one that can carry these files; raises `NoAssociationError`."""
        ...


class Outbox:
    """Delivers results.

    Parameters
    ----------
    database : Database
        Holds the deliveries.
    storage : Path
        Root of result paths.
    config : Config
        Destinations and backoff.
    on_done : callable
        Called after each round to one destination; must return at once.
    clock : callable
        Returns the time, aware.
    connect : callable
        Opens associations.
    """

    def __init__(
        self,
        *,
        database: Database,
        storage: Path,
        config: Config,
        on_done: Callable[[], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        connect: Connects = connect,
    ) -> None:
        self._database = database
        self._storage = storage
        self._clock = clock
        self._connect = connect
        self._lines = Lines()
        self._rounds = Rounds(on_done)
        self._paused: dict[str, datetime] = {}
        self._failures: Counter[str] = Counter()
        self._changed: set[str] = set()
        self._trouble = Trouble("deliveries wait", logger)
        self._troubles: dict[str, Trouble] = {}
        self._commitment = Commitment(database=database, clock=clock, lines=self._lines)
        self._use(config)

    def reload(self, config: Config) -> None:
        """Use other destinations and limits from the next round on; what waits for a changed one is due then."""
        before = {destination.name: destination for destination in self._config.destinations}
        self._changed |= {d.name for d in config.destinations if before.get(d.name) != d}
        self._use(config)

    def run(self) -> datetime | None:
        """Start a round to every destination that has something due and no round running.

        Returns
        -------
        datetime or None
            When to look again.
        """
        now = self._clock()
        self._hasten_changed(now)
        with self._database.read() as session:
            names = deliveries.due_destinations(session, now)
            next_due = deliveries.next_due_at(session, after=now)
            unconfirmed = commitments.due_destinations(session, now)
            next_question = commitments.next_due_at(session, after=now)
        for name in names:
            self._start(f"delivery to {name}", functools.partial(self._deliver, name), now)
        for name in unconfirmed:
            if name not in names and not self._rounds.busy(f"delivery to {name}"):
                self._start(f"storage commitment of {name}", functools.partial(self._confirm, name), now)
        soon = (next_due, next_question, now + LOOK_EVERY, *list(self._paused.values()))
        return min(t for t in soon if t is not None and t > now)

    def confirmed(self, report: CommitmentReport) -> bool:
        """Record durably what a destination reports to keep; say whether it was asked."""
        return self._commitment.record(report)

    def stop(self) -> None:
        """End the rounds that are under way, within 10 s whatever the peers do; nothing of them is lost."""
        self._rounds.stop(grace_s=_STOP_GRACE_S, cut=self._lines.cut, limit_s=_STOP_LIMIT_S)

    def _use(self, config: Config) -> None:
        self._config = config
        self._backoff = Backoff(first_s=config.outbox.retry_after_s, limit_s=config.outbox.retry_at_most_every_s)
        self._commitment.use(backoff=self._backoff, timeout_s=config.outbox.commitment_timeout_s)

    def _hasten_changed(self, now: datetime) -> None:
        if changed := set(self._changed):
            with self._database.write() as session:
                for name in changed:
                    deliveries.hasten(session, name, now=now)
            self._changed -= changed

    def _start(self, title: str, work: Callable[[], None], now: datetime) -> None:
        if self._paused.get(title, now) <= now:
            self._rounds.start(title, functools.partial(self._round, title, work))

    def _round(self, title: str, work: Callable[[], None]) -> None:
        try:
            work()
            self._paused.pop(title, None)
            self._trouble.end()
        except Exception as error:
            # Nothing could be recorded, so that it is still due: without a pause it would be done over and over.
            if not self._trouble.met(error):
                logger.exception("%s failed", title, extra={"action": "deliver"})
            self._paused[title] = self._clock() + self._backoff.after(_ROUND_FAILED)

    def _confirm(self, name: str) -> None:
        config = self._config
        destination = config.destination(name)
        if destination is None or not destination.storage_commitment:
            self._commitment.forget(name)
        else:
            self._commitment.ask(name, peer_of(config, destination))

    def _deliver(self, name: str) -> None:
        config = self._config
        with self._database.read() as session:
            waiting = deliveries.due(session, name, self._clock())
        destination = config.destination(name)
        if destination is None:
            self._unreachable(
                name, f"config.toml has no destination {name!r} any more; add it again, or `opacity-node give-up`"
            )
            return
        intact = [d for d in self._wanted(waiting, destination) if self._intact(d)]
        if not intact:
            return
        try:
            with self._connect(
                [self._storage / d.path for d in intact], peer_of(config, destination), lines=self._lines
            ) as association:
                outcomes = self._send(association, intact, to_commit=destination.storage_commitment)
        except NoAssociationError as error:
            self._unreachable(name, str(error))
            return
        self._after(name, outcomes)

    def _wanted(self, waiting: Sequence[DueDelivery], destination: Destination) -> list[DueDelivery]:
        """Leave out what the destination does not want any more: a peer may choke on it."""
        unwanted = [d.id for d in waiting if d.kind not in wanted(destination, d.pipeline)]
        if unwanted:
            with self._database.write() as session:
                deliveries.drop_unwanted(session, unwanted)
        return [d for d in waiting if d.id not in unwanted]

    def _send(self, association: Stores, waiting: Sequence[DueDelivery], *, to_commit: bool) -> list[SendOutcome]:
        outcomes: list[SendOutcome] = []
        for delivery in waiting:
            if self._rounds.stopping:
                break
            with self._database.read() as session:
                if not deliveries.is_pending(session, delivery.id):
                    continue
            outcome = association.store(self._storage / delivery.path)
            if self._rounds.stopping and outcome.state is SendState.UNREACHABLE:
                break  # we hung up: no fault of anybody
            outcomes.append(outcome)
            if outcome.state is not SendState.NOT_SENT:
                attempt = judge(delivery, outcome, now=self._clock(), backoff=self._backoff, to_commit=to_commit)
                self._record(attempt)
            if ends_round(outcome):
                break
        return outcomes

    def _after(self, name: str, outcomes: Sequence[SendOutcome]) -> None:
        """Take stock of a round. One that ended early goes on at once, unless two in a row got nothing through."""
        if not outcomes:
            return
        stuck = ends_round(outcomes[-1])
        through = sum(arrived(outcome) for outcome in outcomes)
        if through or not stuck:
            self._trouble_of(name).end()
            self._failures[name] = 0
            _log(name, outcomes, through)
            return
        self._trouble_of(name).begin(meaning(outcomes[-1]))
        self._failures[name] += 1
        if self._failures[name] > 1:
            self._postpone(name, meaning(outcomes[-1]), failures=self._failures[name] - 1, attempted=False)

    def _unreachable(self, name: str, message: str) -> None:
        if self._rounds.stopping:
            return
        self._failures[name] += 1
        self._postpone(name, message, failures=self._failures[name], attempted=True)
        self._trouble_of(name).begin(message)

    def _trouble_of(self, name: str) -> Trouble:
        """Return what is wrong at a destination; only its own round asks."""
        if name not in self._troubles:
            what = f"nothing can be delivered to {name}"
            self._troubles[name] = Trouble(what, logger, over=f"{name} takes results again")
        return self._troubles[name]

    def _postpone(self, name: str, message: str, *, failures: int, attempted: bool) -> None:
        now = self._clock()
        until = now + self._backoff.after(failures)
        with self._database.write() as session:
            deliveries.postpone(session, name, now=now, until=until, message=message, attempted=attempted)

    def _intact(self, delivery: DueDelivery) -> bool:
        """Check the stored bytes; a damaged object is reported and never sent."""
        path = self._storage / delivery.path
        if path.is_file():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == delivery.sha256:
                    return True
        logger.error("result file %s is missing or damaged and is not sent", delivery.path, extra={"action": "deliver"})
        self._record(
            Attempt(
                delivery_id=delivery.id,
                state=DeliveryState.FAILED,
                status=None,
                message="the stored result file is missing or damaged; restore it, then `opacity-node resend`",
                next_attempt_at=None,
            )
        )
        return False

    def _record(self, attempt: Attempt) -> None:
        with self._database.write() as session:
            deliveries.record(session, [attempt], now=self._clock())


def _log(name: str, outcomes: Sequence[SendOutcome], through: int) -> None:
    reasons = Counter(meaning(outcome) for outcome in outcomes if outcome.state is not SendState.SENT)
    logger.info(
        "%d of %s delivered to %s%s",
        through,
        counted(len(outcomes), "object"),
        name,
        "".join(f"; {number} × {reason}" for reason, number in reasons.items()),
        extra={"action": "deliver"},
    )


def peer_of(config: Config, destination: Destination) -> Peer:
    """Return how a destination is called."""
    return Peer(
        host=destination.host,
        port=destination.port,
        ae_title=destination.ae_title,
        our_ae_title=config.dicom.ae_title,
        timeout_s=config.outbox.timeout_s,
        context=functools.partial(client_context, config.dicom.tls) if destination.tls else None,
        certificate_name=destination.tls_name or destination.host,
    )
