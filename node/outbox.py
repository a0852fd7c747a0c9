"""Due deliveries -> sender. Every destination has its own thread and its own backoff: a dead one delays only itself.

Results are never given up. What the peer's presentation contexts exclude is final for that object, the others go.
"""

import hashlib
import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from db.repository import deliveries
from db.repository.deliveries import Attempt, DueDelivery
from db.session import Database
from db.states import DeliveryState
from dicom_out.sender import Peer, SendOutcome, SendState, send
from node.config import Config, Destination

logger = logging.getLogger(__name__)

_ROUND_FAILED = 3
"""A round that broke counts as so many failed attempts."""
_FINAL = {
    SendState.SENT: DeliveryState.SENT,
    SendState.WARNED: DeliveryState.WARNED,
    SendState.UNSUPPORTED: DeliveryState.UNSUPPORTED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait after a failed delivery: doubled each time up to a limit, with jitter."""

    first_s: float
    limit_s: float

    def after(self, attempts: int) -> timedelta:
        """Return the pause after so many failed attempts."""
        seconds = min(self.limit_s, self.first_s * 2 ** min(attempts - 1, 30))
        return timedelta(seconds=seconds * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load, guards nothing


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
    """

    def __init__(self, *, database: Database, storage: Path, config: Config, on_done: Callable[[], None]) -> None:
        self._database = database
        self._storage = storage
        self._config = config
        self._on_done = on_done
        self._backoff = Backoff(first_s=config.outbox.retry_after_s, limit_s=config.outbox.retry_at_most_every_s)
        self._busy: set[str] = set()
        self._paused: dict[str, datetime] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max(1, len(config.destinations)), thread_name_prefix="outbox")

    def run(self) -> datetime | None:
        """Start a round to every destination that has something due and no round running.

        Returns
        -------
        datetime or None
            When the next delivery is due; None if there is none.
        """
        now = datetime.now(UTC)
        with self._database.read() as session:
            names = deliveries.due_destinations(session, now)
            next_due = deliveries.next_due_at(session, after=now)
        for name in names:
            with self._lock:
                if name in self._busy or self._paused.get(name, now) > now:
                    continue
                self._busy.add(name)
            self._threads.submit(self._round, name)
        return min((t for t in (next_due, *self._paused.values()) if t is not None and t > now), default=None)

    def stop(self) -> None:
        """Wait for the rounds that are under way."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _round(self, name: str) -> None:
        try:
            self._deliver(name)
            self._paused.pop(name, None)
        except Exception:
            # Nothing could be recorded, so that it is still due: without a pause it would be sent over and over.
            logger.exception("delivery to %s failed", name, extra={"action": "deliver"})
            self._paused[name] = datetime.now(UTC) + self._backoff.after(_ROUND_FAILED)
        finally:
            with self._lock:
                self._busy.discard(name)
            self._on_done()

    def _deliver(self, name: str) -> None:
        with self._database.read() as session:
            waiting = deliveries.due(session, name, datetime.now(UTC))
        destination = self._config.destination(name)
        if destination is None:
            message = f"config.toml has no destination {name!r} any more"
            self._record([self._failed(d, SendState.UNREACHABLE, None, message) for d in waiting])
            return
        intact = [d for d in waiting if self._intact(d)]
        if not intact:
            return
        outcomes = list(self._send(destination, intact))
        logger.info(
            "%d of %d objects delivered to %s%s",
            sum(o.state in _FINAL for o in outcomes),
            len(outcomes),
            name,
            "".join({f"; {o.message}" for o in outcomes if o.message}),
            extra={"action": "deliver"},
        )

    def _send(self, destination: Destination, waiting: Sequence[DueDelivery]) -> Sequence[SendOutcome]:
        peer = Peer(
            host=destination.host,
            port=destination.port,
            ae_title=destination.ae_title,
            our_ae_title=self._config.dicom.ae_title,
            timeout_s=self._config.outbox.timeout_s,
        )
        outcomes = []
        paths = [self._storage / delivery.path for delivery in waiting]
        for delivery, outcome in zip(waiting, send(paths, peer), strict=True):
            self._record([self._attempt(delivery, outcome)])
            outcomes.append(outcome)
        return outcomes

    def _attempt(self, delivery: DueDelivery, outcome: SendOutcome) -> Attempt:
        if outcome.state not in _FINAL:
            return self._failed(delivery, outcome.state, outcome.status, outcome.message)
        return Attempt(
            delivery_id=delivery.id,
            state=_FINAL[outcome.state],
            status=outcome.status,
            message=outcome.message,
            next_attempt_at=None,
        )

    def _failed(self, delivery: DueDelivery, state: SendState, status: int | None, message: str | None) -> Attempt:
        return Attempt(
            delivery_id=delivery.id,
            state=DeliveryState.PENDING,
            status=status,
            message=message or (f"status 0x{status:04X}" if status is not None else state.value),
            next_attempt_at=datetime.now(UTC) + self._backoff.after(delivery.attempts + 1),
        )

    def _intact(self, delivery: DueDelivery) -> bool:
        """Check the stored bytes; a damaged object is reported and never sent."""
        path = self._storage / delivery.path
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == delivery.sha256:
            return True
        logger.error("result file %s is missing or damaged and is not sent", delivery.path, extra={"action": "deliver"})
        self._record(
            [
                Attempt(
                    delivery_id=delivery.id,
                    state=DeliveryState.FAILED,
                    status=None,
                    message="the stored result file is missing or damaged",
                    next_attempt_at=None,
                )
            ]
        )
        return False

    def _record(self, attempts: Sequence[Attempt]) -> None:
        with self._database.write() as session:
            deliveries.record(session, attempts, now=datetime.now(UTC))
