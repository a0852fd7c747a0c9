"""What a job hands to the writers: which run this is, and how its objects are named and numbered."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_out import uids
from inference.findings import Algorithm


class ResultKind(StrEnum):
    """The kinds of result objects."""

    SEG = "seg"
    SR = "sr"
    KEY_IMAGE = "key-image"
    MAP = "map"
    COARSE_MAP = "coarse-map"
    NOTICE = "notice"


_PLACES = {
    ResultKind.SR: 0,
    ResultKind.NOTICE: 0,
    ResultKind.KEY_IMAGE: 1,
    ResultKind.SEG: 2,
    ResultKind.MAP: 50,
    ResultKind.COARSE_MAP: 70,
}
"""Of their series numbers, with room behind the kinds of which there can be several; a notice replaces a report."""
SERIES_NUMBERS = 100
"""How many a run may use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Predecessor:
    """A delivered report of an earlier revision of the study, which a new one replaces."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


def source_named(header: Dataset, *, is_stack: bool) -> str:
    """Return the numbers by which viewers name a source: "S3" for a stack, "S3 I2" for an image."""
    numbers = {"S": header.get("SeriesNumber"), "I": None if is_stack else header.get("InstanceNumber")}
    return " ".join(f"{letter}{number}" for letter, number in numbers.items() if number is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultContext:
    """A job, as far as its result objects depend on it.

    Attributes
    ----------
    pipeline : str
        Name under which the pipeline is registered.
    selection_hash : str
        Hexadecimal hash over the instances and header values that the run used.
    created_at : datetime
        Of the job, aware; the date of every object, so that a second run of the job writes the same bytes. Part of
        every UID.
    revision : int
        Of the study, from 1; part of every UID.
    series_number : int
        First of the numbers used: the report's, then the key image's, the segmentations', and the maps' from 50 on.
    series_description_prefix : str
        Begins every Series Description.
    predecessors : tuple of Predecessor
        Delivered reports that this run's report replaces. Their number tells the reader which one this is: with two
        of them every Series Description ends in "rev 3".
    about : str
        Which images of the study the run read, such as "S3 I2", where others have results too: ends every Series
        Description, before the revision.
    """

    pipeline: str
    selection_hash: str
    created_at: datetime
    revision: int = 1
    series_number: int = 9500
    series_description_prefix: str = "AI"
    predecessors: tuple[Predecessor, ...] = ()
    about: str = ""

    def series_description(self, text: str, *, limit: int = 64) -> str:
        """Return prefix, text, source and revision, as far as a reader must know; the text gives way to the limit."""
        ending = f" {self.about}" if self.about else ""
        if self.predecessors:
            ending += f" rev {len(self.predecessors) + 1}"
        start = f"{self.series_description_prefix} {text}".strip()
        return start[: limit - len(ending)].rstrip() + ending


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """One run of one algorithm on one series: what all objects of a result share.

    Attributes
    ----------
    source : Dataset
        Header of the first source instance.
    demographics : Dataset
        Header of the source instance whose patient and study attributes are right: the newest.
    context : ResultContext
        The job.
    algorithm : Algorithm
        What ran.
    is_projection : bool
        Whether the source is a radiograph, whose plane is synthetic, rather than slices.
    """

    source: Dataset
    demographics: Dataset
    context: ResultContext
    algorithm: Algorithm
    is_projection: bool = False

    @property
    def study_instance_uid(self) -> UID:
        """Study Instance UID (0020,000D) of the source, and so of every result."""
        return UID(str(self.source.StudyInstanceUID))

    @property
    def device_uid(self) -> UID:
        """Device UID (0018,1002): another one whenever the model changes."""
        return uids.device_uid(self.context.pipeline, self.algorithm)

    def series_uid(self, kind: ResultKind, index: int) -> UID:
        """Return the UID of the series of an object: each has its own, since viewers list one object a series."""
        return uids.derived_uid("series", *self._identity(), kind, str(index))

    def series_number(self, kind: ResultKind, index: int) -> int:
        """Return the Series Number (0020,0011) of an object."""
        return self.context.series_number + _PLACES[kind] + index - 1

    def instance_uid(self, kind: ResultKind, index: int, part: str = "instance") -> UID:
        """Return the UID of one object, or of something inside it."""
        return uids.derived_uid(part, *self._identity(), kind, str(index))

    def local_time(self) -> datetime:
        """Return the job's time as DICOM DA and TM want it.

        In the zone that the source declares in Timezone Offset From UTC (0008,0201), else in that of this machine.

        References
        ----------
        PS3.3 C.12.1.1.8.
        """
        offset = str(self.demographics.get("TimezoneOffsetFromUTC") or "").strip()
        if len(offset) == 5 and offset[0] in "+-" and offset[1:].isdigit():
            size = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
            if size < timedelta(hours=24):
                return self.context.created_at.astimezone(timezone(-size if offset[0] == "-" else size))
        return self.context.created_at.astimezone()

    def _identity(self) -> tuple[str, ...]:
        return (
            self.study_instance_uid,
            self.context.selection_hash,
            str(self.context.revision),
            # Its bytes hold the job's time: after a lost database a job is made anew, and must not reuse these UIDs.
            self.context.created_at.astimezone(UTC).isoformat(),
            *uids.model_identity(self.context.pipeline, self.algorithm),
            uids.WRITER_VERSION,
        )
