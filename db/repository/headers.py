"""Headers of instances that another version of the node read."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.models import Instance, Series
from db.states import InstanceRole

EDITION_KEY = "edition"
"""Of a header: stands among its attributes, and says which attributes the version that read it knew."""


def outdated(session: Session, study_id: int, edition: str) -> dict[int, str]:
    """Return the archive paths of a study's current instances whose header is of another edition, by row id.

    Those that retention removed cannot be read again, and are left out.
    """
    rows = session.execute(
        select(Instance.id, Instance.path)
        .join(Series)
        .where(
            Series.study_id == study_id,
            Instance.role == InstanceRole.CURRENT,
            Instance.removed_at.is_(None),
            func.coalesce(Instance.header[EDITION_KEY].as_string(), "") != edition,
        )
    )
    return dict(rows.all())


def replace(session: Session, headers: Mapping[int, dict[str, Any]]) -> None:
    """Put headers in the place of those of rows, by row id."""
    if headers:
        session.execute(update(Instance), [{"id": row_id, "header": header} for row_id, header in headers.items()])
