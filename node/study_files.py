"""A folder of files -> the DICOM files in it -> a peer."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.misc import is_dicom

from dicom_out.sender import Peer, SendState, send

_STORED = {SendState.SENT, SendState.WARNED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """How many files a peer stored, and why it did not store the others."""

    stored: int
    failures: Counter[str] = field(default_factory=Counter)


def dicom_files(place: Path) -> list[Path]:
    """Return the DICOM files of a folder and its subfolders, by name; DICOMDIR is none of them."""
    candidates = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    return [path for path in candidates if path.name != "DICOMDIR" and is_dicom(path)]


def send_files(paths: Sequence[Path], peer: Peer, *, on_sent: Callable[[], None] = lambda: None) -> Sent:
    """Send files over one association; `on_sent` is called after each.

    Parameters
    ----------
    paths : sequence of Path
        As `dicom_files` returns them.
    peer : Peer
        Takes them.
    on_sent : callable
        Of no arguments.
    """
    stored, failures = 0, Counter[str]()
    for outcome in send(paths, peer):
        on_sent()
        if outcome.state in _STORED:
            stored += 1
        else:
            status = f"status 0x{outcome.status:04X}" if outcome.status is not None else ""
            failures[" ".join(part for part in (outcome.state.value, status, outcome.message) if part)] += 1
    return Sent(stored=stored, failures=failures)
