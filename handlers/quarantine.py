"""What was refused, kept for a person under a quota.

Each file lies beside a text file of the same name that says why. Refused bytes were never acknowledged, so the
sender still has them: when the quota is reached the oldest go.
"""

import logging
import threading
from pathlib import Path

from db.faults import Trouble
from db.files import new_spool_name, write_durably
from db.incoming import IncomingFile

logger = logging.getLogger(__name__)


class Quarantine:
    """A folder of refused bytes.

    Parameters
    ----------
    folder : Path
        Exists.
    quota_bytes : int
        The most that is kept.
    """

    def __init__(self, folder: Path, *, quota_bytes: int) -> None:
        self._folder = folder
        self._acknowledged = folder / "acknowledged"
        self._quota_bytes = quota_bytes
        self._lock = threading.Lock()
        self._trouble = Trouble("what is refused cannot be kept in quarantine", logger)

    def keep(self, file: IncomingFile, *, reason: str) -> Path | None:
        """Keep refused bytes and why.

        Parameters
        ----------
        file : IncomingFile
            On the same file system.
        reason : str
            For a person to read.

        Returns
        -------
        Path or None
            Where they are; None if they were too large or could not be kept, then they lie where they were.
        """
        if file.size > self._quota_bytes:
            return None
        path = self._folder / new_spool_name()
        with self._lock:
            try:
                self._make_room(file.size)
                file.keep(path)
                self._explain(path, reason)
            except OSError as error:
                if not self._trouble.met(error):
                    self._trouble.begin(str(error.strerror))
                return None
            self._trouble.end()
        return path

    def take(self, path: Path, *, name: str, reason: str) -> Path:
        """Move a file that turned out to be unreadable here; it was acknowledged, so no quota drops it.

        Raises
        ------
        OSError
            If it could not be moved; it stays where it was then.
        """
        self._acknowledged.mkdir(mode=0o700, exist_ok=True)
        target = self._acknowledged / name
        self._explain(target, reason)
        path.rename(target)
        return target

    def _explain(self, path: Path, reason: str) -> None:
        write_durably(path.with_suffix(".txt"), (reason.encode() + b"\n",))

    def _make_room(self, size: int) -> None:
        files = sorted(self._folder.glob("*.dcm"))
        held = sum(file.stat().st_size for file in files)
        for file in files:
            if held + size <= self._quota_bytes:
                return
            held -= file.stat().st_size
            file.unlink()
            file.with_suffix(".txt").unlink(missing_ok=True)
