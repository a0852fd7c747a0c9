"""How many connections and associations were refused since the node started: written down for whoever asks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from db.files import Storage, write_durably
from handlers.refusals import Refusals

logger = logging.getLogger(__name__)

_FILE = "refused.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedReport:
    """What was refused."""

    since: datetime
    """The node's start."""
    counts: Mapping[str, int]
    """By reason, as `handlers.refusals.Reason` names them."""


_REPORT = TypeAdapter(RefusedReport)


class RefusedFile:
    """Where the counts of a running node lie.

    Parameters
    ----------
    folder : Path
        Of the storage.
    refusals : Refusals
        That are counted.
    """

    def __init__(self, folder: Path, refusals: Refusals) -> None:
        self._file = folder / _FILE
        self._refusals = refusals
        self._since = datetime.now(UTC)
        self._written: Mapping[str, int] | None = None

    def write(self) -> None:
        """Write the counts if they are other than before; one that cannot be written is tried again."""
        counts = self._refusals.counts
        if counts == self._written:
            return
        try:
            write_durably(self._file, [_REPORT.dump_json(RefusedReport(since=self._since, counts=counts))])
        except OSError as error:
            logger.warning("%s cannot be written: %s", _FILE, error.strerror, extra={"action": "refuse"})
            return
        self._written = counts


def last_refused(storage: Storage) -> RefusedReport | None:
    """Return what was refused since the last start; None where no node ran."""
    try:
        return _REPORT.validate_json((storage.root / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None
