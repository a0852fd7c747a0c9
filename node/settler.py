"""Quiet studies -> revisions, with a decision for every stack and a job for each that runs."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from db.faults import of_database
from db.files import Storage, spool_time_s
from db.repository import deciding, holding, settling
from db.repository.settling import JobKey, NewDecision, NewJob, ReceivingStudy, StoredInstance
from db.session import Database
from db.states import HoldReason, Outcome, SettleReason, StudyState
from handlers.association import Associations
from inference.registry import CARDS
from inference.wording import counted
from node.config import Config
from node.header import InstanceHeader
from node.old_headers import read_again
from node.removed_input import job_hash, with_input
from node.routing import Route, origins, quiet_time_s, route
from node.selection import rejected_by
from node.stacks import Stack, split

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wait:
    until: datetime


class Settler:
    """Takes studies as complete.

    Parameters
    ----------
    database, storage : Database, Storage
        Rows, and the spool whose un-indexed files hold a study back.
    associations : Associations
        Open associations hold a study back too.
    config : Config
        Times and rules.
    on_jobs : callable
        Called after jobs were queued; must return at once.
    """

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        associations: Associations,
        config: Config,
        on_jobs: Callable[[], None],
    ) -> None:
        self._database = database
        self._storage = storage
        self._associations = associations
        self._config = config
        self._on_jobs = on_jobs
        self._oldest_spooled: str | None = None
        self._found: list[str] | None = None

    def reload(self, config: Config) -> None:
        """Use other times and rules for every study that settles from now on."""
        self._config = config

    def run(self) -> datetime | None:
        """Settle every study that is due, and decide those again of which a person said so.

        Returns
        -------
        datetime or None
            When the next one may be; None if none is being received.
        """
        if self._found is None:
            self._found = self._storage.spooled()[::-1]
        with self._database.read() as session:
            studies = settling.receiving(session)
            to_decide_again = settling.to_decide_again(session)
        for study in to_decide_again:
            self._settle_or_hold(study, None)
        waits = []
        for study in studies:
            verdict = self._verdict(study, datetime.now(UTC))
            if isinstance(verdict, _Wait):
                waits.append(verdict.until)
            else:
                self._settle_or_hold(study, verdict)
        return min(waits, default=None)

    def _verdict(self, study: ReceivingStudy, now: datetime) -> SettleReason | _Wait:
        settle = self._config.settle
        quiet_s = quiet_time_s(study.arrivals, self._config.rules, settle)
        quiet_at = self._last_received_at(study, now) + timedelta(seconds=quiet_s)
        given_up_at = study.opened_at + timedelta(seconds=settle.max_wait_s)
        due_at = min(quiet_at, given_up_at)
        if now < due_at:
            return _Wait(until=due_at)
        look_again = _Wait(until=now + timedelta(seconds=_LOOK_AGAIN_S))
        if self._found_is_spooled() or self._spooled_before(due_at):
            return look_again
        sending = self._associations.sending_to(study.study_instance_uid, idle_s=settle.association_idle_s)
        if now >= quiet_at and not sending:
            return SettleReason.QUIET
        return SettleReason.MAX_WAIT if now >= given_up_at else look_again

    def _last_received_at(self, study: ReceivingStudy, now: datetime) -> datetime:
        """Return when the last instance came; it may not be indexed yet.

        Where nothing waits to be indexed, the row has it: not all that comes is new to a study.
        """
        ago_s = self._associations.received_ago_s(study.study_instance_uid)
        if ago_s is None or not self._spooled_before(now):
            return study.last_received_at
        return max(study.last_received_at, now - timedelta(seconds=ago_s))

    def _found_is_spooled(self) -> bool:
        """Say whether anything is left of what lay in the spool when the node began: of which study is not known."""
        while self._found and not (self._storage.spool / self._found[-1]).exists():
            self._found.pop()
        return bool(self._found)

    def _spooled_before(self, moment: datetime) -> bool:
        """Say whether the spool holds a file of that age: it may belong to the study."""
        known = self._oldest_spooled
        if known is None or not _is_before(known, moment) or not (self._storage.spool / known).exists():
            # Listed only then: the spool may hold a backlog, and every waiting study asks.
            known = self._oldest_spooled = next(iter(self._storage.spooled()), None)
        return known is not None and _is_before(known, moment)

    def _settle_or_hold(self, study: ReceivingStudy, reason: SettleReason | None) -> None:
        """Settle a study, or decide it again where there is no reason to settle.

        One that cannot be is held, so that it does not stand in the way of the others.
        """
        try:
            self._settle(study, reason)
        except Exception as error:  # one study must not stand in the way of the others; it is held
            if of_database(error):
                raise
            logger.exception("study %s cannot be settled", study.study_instance_uid, extra={"action": "settle"})
            with self._database.write() as session:
                holding.hold(session, study.id, reason=HoldReason.SETTLING_FAILED, message=type(error).__name__)

    def _settle(self, study: ReceivingStudy, reason: SettleReason | None) -> None:
        read_again(self._storage, self._database, study.id)
        with self._database.write() as session:
            if not settling.unchanged(session, study):
                return
            stored = {row.sop_instance_uid: row for row in settling.instances(session, study.id)}
            ended = settling.ended_jobs(session, study.id)
            stacks = split(InstanceHeader.from_json(row.header) for row in stored.values())
            jobs, decisions = self._decide(stacks, stored, ended, study.chosen_identity)
            hold = self._hold(session, study, jobs)
            act = deciding.decide_again if reason is None else partial(settling.settle, reason=reason)
            new = (
                act(
                    session,
                    study.id,
                    now=datetime.now(UTC),
                    jobs=jobs,
                    decisions=decisions,
                    rejected=rejected_by(stacks),
                )
                if hold is None
                else []
            )
        if hold is not None:
            logger.warning("study %s is held: %s", study.study_instance_uid, hold.value, extra={"action": "settle"})
            return
        logger.info(
            "study %s %s: %s, %s",
            study.study_instance_uid,
            "decided again" if reason is None else f"settled ({reason.value})",
            counted(len(stored), "instance"),
            counted(len(new), "job"),
            extra={"action": "settle"},
        )
        if new:
            self._on_jobs()

    def _hold(self, session: Session, study: ReceivingStudy, jobs: Sequence[NewJob]) -> HoldReason | None:
        """Hold a study that a person must decide about, and say why; None if it can settle."""
        disagreement = holding.identity_conflict(session, study.id)
        if disagreement is not None:
            holding.hold(session, study.id, reason=HoldReason.IDENTITY_CONFLICT, message=disagreement)
            return HoldReason.IDENTITY_CONFLICT
        revisions = settling.revisions_with_jobs(session, study.id)
        if jobs and revisions == 0 and self._has_unknown_results(study):
            message = "it has results of which this database does not know, as after a backup was restored"
            holding.hold(session, study.id, reason=HoldReason.DATABASE_REBUILT, message=message)
            return HoldReason.DATABASE_REBUILT
        limit = self._config.settle.max_revisions + study.revisions_allowed
        more = study.state is StudyState.RECEIVING  # else a person asked, and nothing more came
        if more and revisions > limit and settling.would_queue(session, study.id, jobs):
            message = f"it changed {limit} times after its first results; see settle.max_revisions"
            holding.hold(session, study.id, reason=HoldReason.MAX_REVISIONS, message=message)
            return HoldReason.MAX_REVISIONS
        return None

    def _has_unknown_results(self, study: ReceivingStudy) -> bool:
        """Say whether result files lie there that no job of the database made, and that nobody decided about."""
        folder = self._storage.results / study.study_instance_uid
        return not study.released and folder.is_dir() and any(folder.iterdir())

    def _decide(
        self,
        stacks: Sequence[Stack],
        stored: dict[str, StoredInstance],
        ended: Collection[JobKey],
        identity: tuple[str, ...],
    ) -> tuple[list[NewJob], list[NewDecision]]:
        config = self._config  # as one: a reload may come between
        routes = route(
            stacks,
            origins(stored.values()),
            rules=config.rules,
            destinations=config.destinations,
            cards=CARDS,
        )
        jobs: dict[tuple[str, str], NewJob] = {}
        decisions = []
        for item in (with_input(item, stored, ended, identity) for item in routes):
            key = (
                self._add_job(jobs, item, stored, job_hash(item, stored, identity))
                if item.choice.runs or item.refusal
                else None
            )
            decisions.append(_decision(item, stored, list(jobs).index(key) if key else None))
        return list(jobs.values()), decisions

    def _add_job(
        self, jobs: dict[tuple[str, str], NewJob], item: Route, stored: dict[str, StoredInstance], digest: str
    ) -> tuple[str, str]:
        """Add the job of a route; two rules that want the same share one, with the destinations of both."""
        instances = item.choice.stack.instances
        key = (item.pipeline.name, digest)
        other = jobs.get(key)
        jobs[key] = NewJob(
            pipeline=item.pipeline.name,
            pipeline_version=item.pipeline.version,
            selection_hash=digest,
            stack=item.choice.stack.label,
            rule=other.rule if other else item.rule.name,
            destinations=_union(other.destinations if other else (), item.destinations),
            priority=max(other.priority if other else 0, item.rule.priority),
            ageing_s=self._config.engine.priority_ageing_s,
            instance_ids=tuple(stored[i.sop_instance_uid].id for i in instances),
            notices=item.rule.notices or (other is not None and other.notices),
            refusal=asdict(item.refusal) if item.refusal else None,
        )
        return key


def _is_before(spool_name: str, moment: datetime) -> bool:
    return spool_time_s(spool_name) <= moment.timestamp()


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _decision(item: Route, stored: dict[str, StoredInstance], job: int | None) -> NewDecision:
    choice = item.choice
    return NewDecision(
        series_id=stored[choice.stack.first.sop_instance_uid].series_id,
        stack=choice.stack.label,
        instance_count=len(choice.stack.instances),
        rule=item.rule.name,
        pipeline=item.pipeline.name,
        outcome=Outcome.RUN if choice.runs else Outcome.NOT_RUN,
        code=choice.code,
        reason=choice.reason,
        job=job,
    )
