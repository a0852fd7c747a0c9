"""The weights folder, and what is shipped beside it: which slots are filled, and with what they should be.

Nothing is loaded unless it went through `Shelf.require` or `Shelf.find`: a file that is not what its pin or its record
says is refused, and left where it is.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from inference.weights import manifest, pins, records
from inference.weights.manifest import Slot
from inference.weights.records import Record, UnreadableRecordsError
from inference.weights.refusals import MissingWeightsError, WrongWeightsError


class State(StrEnum):
    """What became of a slot."""

    PRESENT = "present"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A slot, and what lies in it.

    Attributes
    ----------
    slot : Slot
        As declared.
    state : State
        Whether it can be used.
    path : Path or None
        What lies there; None where nothing does.
    sha256 : str or None
        Of that, where it was hashed.
    record : Record or None
        What was written down when it was installed.
    message : str
        Why it cannot be used; empty where it can.
    """

    slot: Slot
    state: State
    path: Path | None = None
    sha256: str | None = None
    record: Record | None = None
    message: str = ""

    @property
    def licence(self) -> str:
        """Of what lies there: of a site's own weights the manifest knows none."""
        return "the site's own" if self.record is not None and self.slot.url is None else self.slot.licence


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """Weights that hash to what they should: made by `Shelf` alone, asked for by everything that loads.

    Attributes
    ----------
    slot : Slot
        As declared.
    path : Path
        The file or folder.
    sha256 : str
        Of it.
    outputs : tuple of str
        What the network's outputs mean, in their order.
    thresholds : Mapping[str, float]
        Of outputs.
    """

    slot: Slot
    path: Path
    sha256: str
    outputs: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)


class Shelf:
    """The weights folder.

    Parameters
    ----------
    folder : Path
        Need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def standing(self, name: str, *, hashed: bool = True) -> Standing:
        """Say what lies in a slot.

        Parameters
        ----------
        name : str
            Of a slot.
        hashed : bool
            Whether to hash it; without, only presence and size are looked at.

        Raises
        ------
        KeyError
            If there is no such slot.
        """
        slot = manifest.SLOTS[name]
        if slot.shipped:
            shipped = manifest.SHIPPED / slot.file
            if not shipped.exists():
                return Standing(slot=slot, state=State.MISSING, message=f"{shipped} is gone")
            return _judge(slot, None, shipped, hashed=hashed)
        try:
            record = records.read(self.folder).get(name)
        except UnreadableRecordsError as error:
            if slot.pin is None:
                return Standing(slot=slot, state=State.WRONG, message=str(error))
            record = None  # the manifest pins it: the record says nothing more that matters
        if slot.pin is not None and record is not None and record.file != slot.file:
            record = None  # of a release before this one
        path = self._path(slot, record)
        if path is None:
            return Standing(slot=slot, state=State.MISSING, record=record, message=self._why_missing(slot, record))
        return _judge(slot, record, path, hashed=hashed)

    def standings(self, *, hashed: bool = True) -> list[Standing]:
        """Say what lies in every slot, in the manifest's order."""
        return [self.standing(name, hashed=hashed) for name in manifest.SLOTS]

    def find(self, name: str) -> Verified | None:
        """Return verified weights, or None where the slot is empty.

        Raises
        ------
        KeyError
            If there is no such slot.
        WrongWeightsError
            If something else lies there.
        """
        standing = self.standing(name)
        if standing.state is State.WRONG:
            raise WrongWeightsError(standing.slot, standing.message)
        if standing.path is None or standing.sha256 is None:
            return None
        said: Slot | Record = standing.record or standing.slot
        return Verified(
            slot=standing.slot,
            path=standing.path,
            sha256=standing.sha256,
            outputs=said.outputs,
            thresholds=dict(said.thresholds),
        )

    def require(self, *names: str) -> dict[str, Verified]:
        """Return verified weights by slot.

        Raises
        ------
        KeyError
            If there is no such slot.
        MissingWeightsError
            If slots are empty; tells of them all.
        WrongWeightsError
            If something else lies in one.
        """
        return self._required(names)

    def require_for(self, pipeline: str) -> dict[str, Verified]:
        """Return all that a pipeline cannot do without, verified; raises as `require` does."""
        return self._required([slot.name for slot in required_by(pipeline)], pipeline=pipeline)

    def _required(self, names: Sequence[str], *, pipeline: str = "") -> dict[str, Verified]:
        found = {name: self.find(name) for name in names}
        if missing := [manifest.SLOTS[name] for name, verified in found.items() if verified is None]:
            raise MissingWeightsError(missing, pipeline=pipeline)
        return {name: verified for name, verified in found.items() if verified is not None}

    def _path(self, slot: Slot, record: Record | None) -> Path | None:
        file = record.file if record else slot.file if slot.pin else None
        path = self.folder / file if file else None
        return path if path is not None and path.exists() else None

    def _why_missing(self, slot: Slot, record: Record | None) -> str:
        if record is not None:
            return f"{record.file} was installed on {record.installed_at:%Y-%m-%d} and is gone"
        if slot.pin is None and (self.folder / slot.file).exists():
            place = self.folder / slot.file
            return f"{place} lies there unrecorded; accept it: opacity-node models add {slot.name} {place}"
        return "not installed"


def required_by(pipeline: str) -> list[Slot]:
    """Return the slots that a pipeline cannot do without."""
    return [slot for slot in manifest.SLOTS.values() if pipeline in slot.required_by]


def combined_sha256(used: Sequence[Verified]) -> str:
    """Return the hash that results name: of one slot its own; of several, over the listing of their names and hashes.

    Raises
    ------
    ValueError
        If there are none.
    """
    hashes = {verified.slot.name: verified.sha256 for verified in used}
    if not hashes:
        raise ValueError("no weights, no hash")
    return next(iter(hashes.values())) if len(hashes) == 1 else pins.listing_sha256(hashes)


def _judge(slot: Slot, record: Record | None, path: Path, *, hashed: bool) -> Standing:
    def standing(why: str, sha256: str | None = None) -> Standing:
        state = State.WRONG if why else State.PRESENT
        return Standing(slot=slot, state=state, path=path, sha256=sha256, record=record, message=why)

    if record is not None and record.network != slot.network:
        return standing(f"they were installed for {record.network}, and {slot.network} is needed")
    try:
        signature = _signature(path)
        size = sum(part[2] for part in signature)
        expected = slot.size if slot.pin and slot.size else record.size if record else None
        if expected is not None and size != expected:
            return standing(f"{path.name} has {size} bytes, expected {expected}")
        if not hashed:
            return standing("")
        digest = _digest(path, signature)
    except (OSError, ValueError) as error:
        return standing(f"{path.name} cannot be read: {error.strerror if isinstance(error, OSError) else error}")
    return standing(mismatch(slot, digest, record), digest.sha256)


def mismatch(slot: Slot, digest: pins.Digest, record: Record | None = None) -> str:
    """Say where a file departs from its pin or record; nothing where it does not."""
    if slot.pin is not None and not slot.pin.fits(digest):
        return f"its {slot.pin.kind} is {slot.pin.of(digest)}, expected {slot.pin.value} ({slot.pin.origin})"
    if record is not None and record.sha256 != digest.sha256:
        return f"its SHA-256 is {digest.sha256}, and was {record.sha256} when it was installed"
    return ""


_Signature = tuple[tuple[str, int, int, int, int], ...]


def _signature(path: Path) -> _Signature:
    """Return what changes whenever a file does, without reading it."""
    names = sorted(pins.files_of(path)) if path.is_dir() else [""]
    states = [(name, (path / name).stat()) for name in names]
    return tuple((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in states)


@functools.lru_cache(maxsize=64)
def _digest(path: Path, signature: _Signature) -> pins.Digest:  # noqa: ARG001 - part of the key
    """Hash once while a file stays untouched: a worker loads the same gigabytes for every job."""
    return pins.of(path)


def forget() -> None:
    """Hash everything anew from now on."""
    _digest.cache_clear()
