"""What a storage holds after all, against what was acknowledged, what was killed, and what the PACS got.

Each function returns complaints, one line each; none is what is promised.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Delivery, Instance, Job, JobInstance, Result, Series, Study
from db.states import DeliveryState, InstanceRole, JobState, StudyState
from tests.torture.ledger import dataset_sha256
from tests.torture.studies import SentStudy
from tests.torture.toll import Toll

_PASSED = ("incoming", "spool")
"""What is received lies there for a while."""


def lost(session: Session, root: Path, acknowledged: Mapping[str, Path]) -> list[str]:
    """Return the acknowledged instances that are not kept as they were sent."""
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.path).where(Instance.role == InstanceRole.CURRENT)
    ).all()
    kept = {uid: root / path for uid, path in rows}
    return [uid for uid, sent in acknowledged.items() if not _is_kept(kept.get(uid), sent)]


def _is_kept(kept: Path | None, sent: Path) -> bool:
    return kept is not None and kept.is_file() and dataset_sha256(kept) == dataset_sha256(sent)


def stuck(session: Session, root: Path, studies: Iterable[SentStudy]) -> list[str]:
    """Return what did not come to its end: files in the spool, studies, and chests whose results did not all go."""
    complaints = [f"{path.parent.name} holds {path.name}" for name in _PASSED for path in (root / name).iterdir()]
    for sent in studies:
        study = session.scalar(select(Study).where(Study.study_instance_uid == sent.study_instance_uid))
        if study is None or study.state is not StudyState.SETTLED:
            complaints.append(f"study {sent.study_instance_uid} is {study.state if study else 'unknown'}")
        elif sent.gives_a_job and not _whole_result_is_sent(session, study, len(sent.paths)):
            complaints.append(f"study {sent.study_instance_uid}: no result on all of it is with the PACS")
    return complaints


def _whole_result_is_sent(session: Session, study: Study, instances: int) -> bool:
    selected = select(func.count()).where(JobInstance.job_id == Job.id).scalar_subquery()
    job = session.scalar(select(Job.id).where(Job.study_id == study.id, selected == instances))
    states = session.scalars(select(Delivery.state).join(Result).where(Result.job_id == job)).all()
    return bool(states) and set(states) == {DeliveryState.SENT}


def failed(session: Session, toll: Toll) -> list[str]:
    """Return the jobs that did not succeed, and those against which something else counts than their own worker.

    A job that a later revision superseded may have been cancelled, and so may its deliveries. One that got a part of
    its study, while the node lay dead for longer than the quiet time, may rightly have refused a scan that is cut off.
    """
    return [c for job in session.scalars(select(Job)) for c in _complaints(job, toll, _saw_a_part(session, job))]


def _saw_a_part(session: Session, job: Job) -> bool:
    seen = select(func.count()).where(JobInstance.job_id == job.id)
    series = select(Series.id).where(Series.study_id == job.study_id)
    all_of_it = select(func.count()).where(Instance.series_id.in_(series), Instance.role == InstanceRole.CURRENT)
    return (session.scalar(seen) or 0) < (session.scalar(all_of_it) or 0)


def _complaints(job: Job, toll: Toll, saw_a_part: bool) -> list[str]:
    superseded = job.superseded_by_id is not None
    may_be_cut = saw_a_part and job.state is JobState.REFUSED and job.code == "lungs-cut"
    complaints = []
    if job.state is not JobState.SUCCEEDED and not may_be_cut and not (superseded and job.state is JobState.CANCELLED):
        complaints.append(f"job {job.id} is {job.state}: {job.code}, {job.message}")
    deaths = {0, 1} if job.id in toll.workers_too_late else {int(job.id in toll.workers)}
    if job.worker_deaths not in deaths:
        complaints.append(f"job {job.id} counts {job.worker_deaths} worker deaths, not {deaths}")
    if job.state is JobState.SUCCEEDED and job.attempts != 1 + job.worker_deaths:
        complaints.append(f"job {job.id} counts {job.attempts} attempts and {job.worker_deaths} worker deaths")
    return complaints


def misdelivered(session: Session, root: Path, receipts: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what the PACS got and should not have, or not got and should have: by UID, by bytes, by identity."""
    complaints = [f"{uid} came with different bytes" for uid, digests in receipts.items() if len(set(digests)) > 1]
    results = {result.sop_instance_uid: result for result in session.scalars(select(Result))}
    complaints += [f"{uid} came, and belongs to no result" for uid in receipts if uid not in results]
    identities = defaultdict(set)
    for uid, result in results.items():
        job = result.job
        if uid in receipts:
            identities[job.study_id, job.revision.number, job.pipeline, result.kind, result.position].add(uid)
        complaints += _delivery_complaints(result, root, receipts.get(uid, ()))
    return complaints + [f"{identity} came as {uids}" for identity, uids in identities.items() if len(uids) > 1]


def _delivery_complaints(result: Result, root: Path, digests: Sequence[str]) -> list[str]:
    superseded = result.job.superseded_by_id is not None
    complaints = []
    for delivery in result.deliveries:
        cancelled = delivery.state is DeliveryState.CANCELLED and superseded
        if delivery.state is not DeliveryState.SENT and not cancelled:
            complaints.append(f"delivery of {result.sop_instance_uid} is {delivery.state}: {delivery.message}")
        if delivery.state is DeliveryState.SENT and not digests:
            complaints.append(f"{result.sop_instance_uid} counts as sent, and never came")
    if digests and dataset_sha256(root / result.path) != digests[0]:
        complaints.append(f"{result.sop_instance_uid} came with other bytes than are stored")
    return complaints


def job_states(session: Session) -> dict[str, int]:
    """Return how many jobs there are in each state."""
    return dict(Counter(state.value for state in session.scalars(select(Job.state))))


def late_revisions(session: Session) -> int:
    """Return how many revisions were opened by instances that came late."""
    return sum(number - 1 for number in session.scalars(select(Study.revision_number)) if number > 1)
