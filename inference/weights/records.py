"""What an operator installed: `installed.json` in the weights folder, read.

It holds unpinned weights to the hash that they had when they were accepted, and says what they are.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

FILE = "installed.json"


class Record(BaseModel):
    """One installed slot.

    Attributes
    ----------
    file : str
        Name of the file or folder within the weights folder.
    sha256 : str
        Of the file; of a folder, see `inference.weights.pins.of_folder`.
    size : int
        Bytes.
    source : str
        Where it came from.
    installed_at : datetime
        UTC.
    licence, network : str
        As the manifest said then.
    outputs : tuple of str
        What the network's outputs mean, in their order.
    thresholds : Mapping[str, float]
        Of outputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    source: str
    installed_at: datetime
    licence: str
    network: str
    outputs: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = {}


class Records(BaseModel):
    """All installed slots, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: Mapping[str, Record] = {}


class UnreadableRecordsError(Exception):
    """`installed.json` is not what this program writes."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} cannot be read ({why}). Restore it from a backup, or move it away and add unpinned weights anew."
        )


def read(folder: Path) -> Mapping[str, Record]:
    """Return what is installed in a folder; nothing where there is no such file.

    Raises
    ------
    UnreadableRecordsError
        If the file cannot be read.
    """
    path = folder / FILE
    try:
        return Records.model_validate_json(path.read_bytes()).slots
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UnreadableRecordsError(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        raise UnreadableRecordsError(path, str(error.errors()[0]["msg"])) from error
