"""Weights put into the weights folder, and taken away: fetched, or added from an operator's own file or folder.

Everything is hashed before it takes a place, and takes it by a rename. Pinned files bear their published name; others
are named after their slot and hash, so that the record decides in one step which of two is in use.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from db.files import sync_folder, write_durably
from inference.weights import pins, records, shelf
from inference.weights.manifest import Form, Slot
from inference.weights.records import Record, Records, UnreadableRecordsError
from inference.weights.refusals import WrongWeightsError
from inference.weights.shelf import Shelf, State
from node.download import Downloader, OnProgress, Wanted

_LOCK = ".lock"


class InstallationError(Exception):
    """Weights cannot be installed or taken away; the message says why and what can be done."""


class Installation:
    """The weights folder, to write.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shelf = Shelf(folder)

    def fetch(
        self,
        slot: Slot,
        downloader: Downloader,
        *,
        accept_unpinned: bool = False,
        on_progress: OnProgress = lambda _done, _of: None,
    ) -> Record | None:
        """Download a slot's published file; None where it is there already.

        Raises
        ------
        InstallationError
            If it is shipped, has no published file, is unpinned and that is not accepted, or what came is another.
        node.answers.DownloadError
            If it cannot be had.
        """
        _check_not_shipped(slot)
        if slot.url is None:
            raise InstallationError(f"{slot.name}: nobody publishes these weights. Add your own: {slot.instruction}")
        if slot.pin is None and not accept_unpinned:
            raise InstallationError(
                f"{slot.name}: nobody published a hash of {slot.url}, so nothing tells the right file from another. "
                f"To take what comes, and hold to it from then on: {slot.command}"
            )
        with self._locked():
            self._records()  # unreadable ones are found before gigabytes are fetched
            standing = self._shelf.standing(slot.name)
            if standing.state is State.PRESENT:
                return None
            part = self._folder / f"{slot.file}.part"
            downloader.fetch(Wanted(url=slot.url, path=part, size=slot.size, about=slot.expected_bytes), on_progress)
            digest = pins.of_file(part)
            if why := shelf.mismatch(slot, digest, standing.record):
                part.unlink()
                raise InstallationError(
                    f"{slot.name}: {slot.url} is not the file that is wanted: {why}. What came was thrown away, what "
                    f"was installed before is untouched" + _changed(slot, standing.record)
                )
            return self._take(slot, part, _record(slot, digest, slot.url))

    def add(
        self,
        slot: Slot,
        source: Path,
        *,
        outputs: tuple[str, ...] = (),
        thresholds: Mapping[str, float] | None = None,
    ) -> Record:
        """Install an operator's own file or folder.

        Parameters
        ----------
        slot : Slot
            What it is for; a pinned one takes the published file alone.
        source : Path
            Is copied, and stays.
        outputs : tuple of str
            The order of the network's outputs, where it departs from the slot's. A ``.safetensors`` whose metadata
            names its ``outputs`` says so itself.
        thresholds : Mapping[str, float], optional
            Of outputs, where they depart from the slot's.

        Raises
        ------
        InstallationError
            If it is shipped, is not the pinned file, cannot be read as weights, or has other outputs than the slot.
        """
        _check_not_shipped(slot)
        _check_kind(slot, source)
        _check_meaning(slot, outputs, thresholds or {})
        with self._locked():
            part = self._copy(slot, source)
            try:
                digest = pins.of(part)
                if slot.pin and (why := shelf.mismatch(slot, digest)):
                    raise InstallationError(f"{slot.name}: {source} is not the published file: {why}")
                outputs = _named_outputs(slot, part, outputs)
                record = _record(
                    slot,
                    digest,
                    str(source.resolve()),
                    suffix=part.suffix,
                    outputs=outputs,
                    thresholds=thresholds or {},
                )
                _check_readable(slot, part, record)
                return self._take(slot, part, record)
            finally:
                _remove(part)

    def remove(self, slot: Slot) -> Path:
        """Take a slot's weights away.

        Raises
        ------
        InstallationError
            If there are none, or they are shipped.
        """
        _check_not_shipped(slot)
        with self._locked():
            installed = dict(self._records())
            record = installed.pop(slot.name, None)
            path = self._folder / (record.file if record else slot.file)
            if record is None and not (slot.pin and path.exists()):
                raise InstallationError(f"{slot.name}: nothing is installed in {self._folder}")
            self._write(installed)
            _remove(path)
            for part in self._folder.glob(f"{slot.file}.part*"):
                part.unlink()
            return path

    def _take(self, slot: Slot, part: Path, record: Record) -> Record:
        """Let a verified part take its place; what it replaces goes last."""
        installed = dict(self._records())
        before = installed.get(slot.name)
        place = self._folder / record.file
        if place.is_dir():  # once had the same hash, as its name says
            shutil.rmtree(place)
        if part.is_file():
            _sync(part)
        part.replace(place)
        sync_folder(self._folder)
        self._write(installed | {slot.name: record})
        if before is not None and before.file != record.file:
            _remove(self._folder / before.file)
        return record

    def _copy(self, slot: Slot, source: Path) -> Path:
        safe = source.suffix == ".safetensors" and slot.form is Form.STATE_DICT
        part = self._folder / f".adding-{slot.name}{source.suffix if safe else Path(slot.file).suffix}"
        _remove(part)
        try:
            needed = pins.of(source).size
            if shutil.disk_usage(self._folder).free < needed:
                raise InstallationError(f"{self._folder} has no room for {needed / 1e6:.0f} MB; free some")
            for name in pins.files_of(source) if source.is_dir() else [""]:
                target = part / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target)
                _sync(target)
        except (OSError, ValueError) as error:
            _remove(part)
            raise InstallationError(f"{slot.name}: {source} cannot be copied: {error}") from error
        return part

    def _records(self) -> Mapping[str, Record]:
        try:
            return records.read(self._folder)
        except UnreadableRecordsError as error:
            raise InstallationError(str(error)) from error

    def _write(self, installed: Mapping[str, Record]) -> None:
        text = Records(slots=dict(sorted(installed.items()))).model_dump_json(indent=2)
        write_durably(self._folder / records.FILE, (text.encode() + b"\n",))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep a second command off the folder, and say in words what the folder does not allow."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / _LOCK).open("wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError as error:
            raise InstallationError(f"another command works on {self._folder}; wait for it") from error
        except OSError as error:
            raise InstallationError(f"{self._folder} cannot be written: {error.strerror or error}") from error


def _record(
    slot: Slot,
    digest: pins.Digest,
    source: str,
    *,
    suffix: str = "",
    outputs: tuple[str, ...] = (),
    thresholds: Mapping[str, float] = MappingProxyType({}),
) -> Record:
    suffix = suffix or Path(slot.file).suffix
    return Record(
        file=slot.file if slot.pin else f"{slot.name}-{digest.sha256[:12]}{suffix}",
        sha256=digest.sha256,
        size=digest.size,
        source=source,
        installed_at=datetime.now(UTC),
        licence=slot.licence,
        network=slot.network,
        outputs=outputs or slot.outputs,
        thresholds={**slot.thresholds, **thresholds},
    )


def _check_not_shipped(slot: Slot) -> None:
    if slot.shipped:
        raise InstallationError(f"{slot.name} comes with opacity-node: there is nothing to install or to take away")


def _check_kind(slot: Slot, source: Path) -> None:
    folder = slot.form is Form.NNUNET_FOLDER
    if not source.exists():
        raise InstallationError(f"{slot.name}: there is no {source}")
    if folder != source.is_dir():
        wanted = "an nnU-Net model folder, with plans.json and fold_0" if folder else "a file"
        raise InstallationError(f"{slot.name} takes {wanted}; {source} is {'a file' if folder else 'a folder'}")


def _check_meaning(slot: Slot, outputs: tuple[str, ...], thresholds: Mapping[str, float]) -> None:
    if (outputs or thresholds) and slot.pin:
        raise InstallationError(f"{slot.name} is a published file: what its outputs mean cannot be set")
    if outputs and sorted(outputs) != sorted(slot.outputs):
        raise InstallationError(f"{slot.name}: the outputs must be these, in any order: {', '.join(slot.outputs)}")
    if unknown := [name for name in thresholds if name not in slot.outputs]:
        raise InstallationError(f"{slot.name} has no output {', '.join(unknown)}; it has: {', '.join(slot.outputs)}")


def _named_outputs(slot: Slot, part: Path, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the order of the outputs that a file names, or else the given one; they must not differ."""
    from inference.weights.loading import said_outputs

    said = said_outputs(part) if slot.outputs and not slot.pin else ()
    if not said:
        return given
    if given and given != said:
        raise InstallationError(
            f"{slot.name}: the file says that its outputs are {', '.join(said)}; leave out --output"
        )
    _check_meaning(slot, () if said == slot.outputs else said, {})
    return said


def _check_readable(slot: Slot, part: Path, record: Record) -> None:
    """Read a site's own weights once, now, while somebody is there to hear that they cannot be."""
    if slot.pin:
        return
    from inference.weights.loading import check

    try:
        check(
            shelf.Verified(
                slot=slot,
                path=part,
                sha256=record.sha256,
                outputs=record.outputs,
                thresholds=dict(record.thresholds),
            )
        )
    except WrongWeightsError as error:
        raise InstallationError(error.refusal.reason) from error


def _changed(slot: Slot, record: Record | None) -> str:
    if record is None or slot.pin:
        return "."
    return (
        f". The published file changed since {record.installed_at:%Y-%m-%d}; if you trust the new one: "
        f"opacity-node models remove {slot.name}, then fetch it again."
    )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
