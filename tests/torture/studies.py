"""What the senders send: chest studies, each of which gives a job, and scout images, which give none."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phantom.ct import make_chest
from phantom.dicom import Header, to_datasets, write

SLICES = 58
_UNFINISHED_AT_MOST = 3


@dataclass(frozen=True, kw_only=True)
class SentStudy:
    """A study that one sender sends until all of it is acknowledged; its files are named by SOP Instance UID."""

    study_instance_uid: str
    paths: tuple[Path, ...]
    gives_a_job: bool


class Studies:
    """Makes studies; as many chests as the node can finish, so that jobs always wait and never pile up.

    Parameters
    ----------
    folder : Path
        Takes the files.
    finished : callable
        How many chests came back so far.
    """

    def __init__(self, folder: Path, *, finished: Callable[[], int]) -> None:
        self._folder = folder
        self._finished = finished
        # The smallest that lung-densitometry takes: a job in a second.
        self._chest = make_chest(slices=SLICES, rows=64, columns=64, spacing_mm=(5.0, 5.6, 5.6))
        self._lock = threading.Lock()
        self._made: list[SentStudy] = []

    @property
    def made(self) -> list[SentStudy]:
        with self._lock:
            return list(self._made)

    def make(self, choice: random.Random) -> SentStudy:
        """Make the next study, recorded before anything of it is sent."""
        with self._lock:
            chests = sum(study.gives_a_job for study in self._made)
            study = self._write(
                len(self._made), gives_a_job=chests - self._finished() < _UNFINISHED_AT_MOST, choice=choice
            )
            self._made.append(study)
        return study

    def _write(self, number: int, *, gives_a_job: bool, choice: random.Random) -> SentStudy:
        header = Header(uid_entropy=f"torture {number}", patient_id=f"TORTURE-{number}")
        if gives_a_job:
            datasets = to_datasets(self._chest, header)
        else:
            scouts = {"series_description": "Scout", "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}
            datasets = to_datasets(self._chest, header, **scouts)[: choice.randint(2, 12)]
        paths = write(self._folder / f"{number:04d}", datasets)
        return SentStudy(study_instance_uid=header.study, paths=tuple(paths), gives_a_job=gives_a_job)
