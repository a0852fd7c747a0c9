"""What a route comes to when retention removed the images that it would read. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from db.repository.settling import JobKey, StoredInstance
from inference.findings import Refusal
from node.routing import Route
from node.selection import selection_hash


def with_input(
    item: Route, stored: Mapping[str, StoredInstance], ended: Collection[JobKey], identity: Sequence[str] = ()
) -> Route:
    """Refuse what would read images that were removed; a job that ended needs them no more.

    Parameters
    ----------
    item : Route
        As the rules have it.
    stored : Mapping[str, StoredInstance]
        All of the study, by SOP Instance UID.
    ended : collection of JobKey
        Jobs of earlier revisions that ended well.
    identity : sequence of str
        The patient that a person decided for; empty where nobody had to.
    """
    missing = missing_input([stored[i.sop_instance_uid].removed_at for i in item.choice.stack.instances])
    if missing is None or (item.pipeline.name, item.pipeline.version, job_hash(item, stored, identity)) in ended:
        return item
    if not item.choice.runs:
        return replace(item, refusal=None)
    return replace(item, choice=replace(item.choice, runs=False, code=missing.code, reason=str(missing)))


def job_hash(item: Route, stored: Mapping[str, StoredInstance], identity: Sequence[str]) -> str:
    """Return the hash that tells the job of a route from others of its pipeline.

    A decision about the patient is part of it: what was made before may bear another name.
    """
    pixels = {uid: row.pixel_sha256 for uid, row in stored.items()}
    digest = selection_hash(item.choice.stack.instances, pixels, item.pipeline.input.header_keywords)
    if item.refusal:  # a job of its own: the same selection may run for another rule, or after a reload
        digest = hashlib.sha256(f"{digest} {item.refusal}".encode()).hexdigest()
    if identity:
        digest = hashlib.sha256(f"{digest} {tuple(identity)}".encode()).hexdigest()
    return digest


def missing_input(removed_at: Sequence[datetime | None]) -> Refusal | None:
    """Refuse a selection of which images were removed.

    Parameters
    ----------
    removed_at : sequence of datetime or None
        Of each instance of the selection.
    """
    gone = [moment for moment in removed_at if moment is not None]
    if not gone:
        return None
    return Refusal(
        code="input-gone",
        reason=f"{len(gone)} of its {len(removed_at)} images were removed on {max(gone):%Y-%m-%d}, "
        "as [retention] inputs_days says, after their results had been delivered.",
        remedy="Resend the study.",
    )
