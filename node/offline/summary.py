"""What became of every image: the rows of summary.csv, and run.json, which also says what ran and when."""

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from db.files import write_durably
from inference.findings import Findings, Measurement
from node.offline.visible import cell, visible


class State(StrEnum):
    """What became of an image or stack."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    NOT_RUN = "not-run"
    LEFT_OUT = "left-out"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One X-ray image, one CT stack, or one file that was left out; its texts are made visible.

    Attributes
    ----------
    path : str
        Absolute, of the file; of a stack, the folder that holds all of it.
    sop_instance_uid : str
        Of a single image; empty for a stack.
    state, code, reason : State, str, str
        What became of it; why not, as a name that stays and as a sentence.
    folder : str
        Where its results are, within the folder of the run.
    numbers : Mapping[str, float]
        Headline numbers, by what they are and their unit.
    """

    path: str
    state: State
    code: str = ""
    reason: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    stack: str = ""
    modality: str = ""
    images: int = 1
    folder: str = ""
    seconds: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _OF_HEADERS_AND_PATHS:
            object.__setattr__(self, name, visible(getattr(self, name)))


_OF_HEADERS_AND_PATHS = (
    "path",
    "reason",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "stack",
    "modality",
)
_COLUMNS = tuple(name for name in Row.__dataclass_fields__ if name != "numbers")


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many rows there are of each state."""
    found = Counter(row.state for row in rows)
    return {state.value: found[state] for state in State}


def headlines(findings: Findings) -> dict[str, float]:
    """Return the numbers about the whole source, and the first of each region."""
    numbers = {_title(measurement): measurement.value for measurement in findings.measurements}
    for region in findings.regions:
        for measurement in region.measurements[:1]:
            numbers[f"{region.label}: {_title(measurement)}"] = measurement.value
    return numbers


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, their numbers in columns of their own; the file is there whole or not at all."""
    titles = list(dict.fromkeys(title for row in rows for title in row.numbers))
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow((*_COLUMNS, *titles))
    for row in rows:
        plain = asdict(row)
        table.writerow((*(cell(plain[name]) for name in _COLUMNS), *(row.numbers.get(title, "") for title in titles)))
    write_durably(path, (text.getvalue().encode(),))


def place_of(paths: Sequence[Path]) -> str:
    """Return the path of one file, or of the folder that holds several."""
    return str(paths[0]) if len(paths) == 1 else os.path.commonpath([path.parent for path in paths])


def _title(measurement: Measurement) -> str:
    unit = "" if measurement.unit.value == "1" else f" [{measurement.unit.value}]"
    return f"{measurement.concept.meaning}{unit}"
