"""What a person decided about a held study, carried out."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from db.models import Instance, Study
from db.repository.holding import (
    PatientIdentity,
    conflicting_instances,
    current_instances,
    held_study,
    identities,
    identity_conflict,
    receipts,
)
from db.states import HoldReason, InstanceRole, StudyState


class Keep(StrEnum):
    """Which of contradicting receipts of an instance a person takes for right."""

    FIRST = "first"
    NEWEST = "newest"


class UndecidedError(Exception):
    """It must be said which of several receipts counts, or whose study it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a person decided about a held study.

    Attributes
    ----------
    keep : Keep or None
        Which receipts count, where some contradict each other.
    patient : int or None
        Whose study it is, where instances disagree: the number of an identity as `identities` lists them, from 1.
    together : bool
        Whether all its instances are of that patient; else those that say otherwise are left out.
    """

    keep: Keep | None = None
    patient: int | None = None
    together: bool = False


def resolve(session: Session, study_instance_uid: str, decision: Decision) -> HoldReason:
    """Let a held study go on as a person decided; it settles anew, and nothing of it runs or is sent before.

    Receipts that do not count, and instances of another patient, are kept and not used.

    Parameters
    ----------
    session : Session
        Writing.
    study_instance_uid : str
        Of a held study.
    decision : Decision
        About whatever contradicts.

    Returns
    -------
    HoldReason
        Why it was held.

    Raises
    ------
    NothingToResolveError
        If the study is not held, or there is none.
    UndecidedError
        If something contradicts about which nothing, or nothing possible, was decided.
    """
    study = held_study(session, study_instance_uid)
    conflicts = {row.sop_instance_uid for row in conflicting_instances(session, study.id)}
    if conflicts and decision.keep is None:
        raise UndecidedError("receipts contradict each other; say which count: --keep first, or --keep newest")
    for sop_instance_uid in conflicts:
        _settle_conflict(session, sop_instance_uid, newest=decision.keep is Keep.NEWEST)
    if identity_conflict(session, study.id) is not None:
        _decide_patient(session, study, decision)
    reason = study.hold_reason or HoldReason.SETTLING_FAILED
    if reason is HoldReason.MAX_REVISIONS:
        study.revisions_allowed += 1
    # The reason goes when the study settles: until then what was decided before must neither run nor be sent.
    study.state, study.hold_message = StudyState.RECEIVING, None
    study.to_catalogue += 1
    return reason


def _decide_patient(session: Session, study: Study, decision: Decision) -> None:
    found = [count.identity for count in identities(session, study.id)]
    if decision.patient is None or not 1 <= decision.patient <= len(found):
        raise UndecidedError(
            f"instances disagree about the patient; say whose study it is: --patient 1 to {len(found)}"
        )
    chosen = found[decision.patient - 1]
    others = [identity for identity in found if identity is not chosen]
    study.patient_identities = [chosen.values()]
    if decision.together:
        study.patient_identities += [identity.values() for identity in others]
        return
    strangers = {identity for identity in others if not identity.agrees_with(chosen)}
    for instance in current_instances(session, study.id):
        if PatientIdentity.of(instance) in strangers:
            instance.role = InstanceRole.EXCLUDED


def _settle_conflict(session: Session, sop_instance_uid: str, *, newest: bool) -> None:
    """Make one receipt current, and supersede the others."""
    all_receipts = receipts(session, sop_instance_uid)
    chosen = all_receipts[-1] if newest else all_receipts[0]
    for receipt in all_receipts:
        if receipt is not chosen:
            _reopen_study_that_loses(receipt, chosen)
            receipt.role = InstanceRole.SUPERSEDED
    session.flush()  # before another row is current: there is one current row at any time
    chosen.role = InstanceRole.CURRENT


def _reopen_study_that_loses(receipt: Instance, chosen: Instance) -> None:
    """Have another study, whose current instance this was, settle anew without it."""
    study = receipt.series.study
    if study is chosen.series.study:
        return
    study.to_catalogue += 1
    if study.state is StudyState.SETTLED:
        study.state = StudyState.RECEIVING
