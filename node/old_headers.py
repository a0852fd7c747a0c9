"""Headers that another version of the node read -> as this one reads them, from the archived files.

Only of a study that is about to settle: all of its images are then judged by the same attributes, and a correction of
one that came before an upgrade is not taken for a change of what the row did not hold.
"""

import logging
from pathlib import Path

import pydicom

from db.files import Storage
from db.repository import settling
from db.session import Database
from node.header import InstanceHeader

logger = logging.getLogger(__name__)


def read_again(storage: Storage, database: Database, study_id: int) -> None:
    """Bring the headers of a study up to date; what retention removed or cannot be read keeps the one that it has."""
    with database.read() as session:
        stored = settling.instances(session, study_id)
    read = {}
    for row in stored:
        if row.removed_at is not None or InstanceHeader.is_current(row.header):
            continue
        try:
            read[row.id] = _header(storage.root / row.path)
        except OSError as error:
            logger.warning("a header cannot be read again (%s)", type(error).__name__, extra={"action": "settle"})
    if read:
        with database.write() as session:
            settling.replace_headers(session, read)


def _header(path: Path) -> dict[str, object]:
    return InstanceHeader.from_dataset(pydicom.dcmread(path, stop_before_pixels=True)).to_json()
