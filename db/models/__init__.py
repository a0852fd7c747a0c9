"""The schema: studies as received, what was decided about them, the jobs that ran, what came out and where it went."""

from db.models.base import Base, UtcDateTime
from db.models.catalogue import CataloguedSeries, CataloguedStudy
from db.models.promises import CommitmentObject, CommitmentRequest, Promise
from db.models.received import Decision, Instance, Revision, Series, Study
from db.models.work import CommitmentTransaction, Delivery, Job, JobInstance, Result

__all__ = [
    "Base",
    "CataloguedSeries",
    "CataloguedStudy",
    "CommitmentObject",
    "CommitmentRequest",
    "CommitmentTransaction",
    "Decision",
    "Delivery",
    "Instance",
    "Job",
    "JobInstance",
    "Promise",
    "Result",
    "Revision",
    "Series",
    "Study",
    "UtcDateTime",
]
