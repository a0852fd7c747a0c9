"""Results of an earlier run: removed file by file by the names that the run gave them; all else stays."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from node.offline.findings_file import files_named
from node.offline.folder import FINDINGS_FILE, LEDGER, UNFINISHED, FolderError, written_by_us

_WITHIN_UNFINISHED = re.compile(r"(findings\.json|[a-z]+(-[a-z0-9]+)+\.(dcm|png|nii\.gz))(\.part)?")


def remove_results(out: Path) -> None:
    """Remove what earlier runs wrote into the folders that they made.

    Raises
    ------
    FolderError
        If something cannot be removed.
    """
    ledger = out / LEDGER
    try:
        for name in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
            if name == Path(name).name:
                _remove(out / name, _listed)
                _remove(out / f"{name}{UNFINISHED}", _unfinished)
        ledger.write_bytes(b"")
    except OSError as error:
        raise FolderError(f"{out} holds results that cannot be removed: {error.strerror}") from error


def _remove(folder: Path, names_in: Callable[[Path], Iterator[str]]) -> None:
    if folder.is_symlink() or not folder.is_dir():
        return
    for name in list(names_in(folder)):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # a person's files keep it
        folder.rmdir()


def _unfinished(folder: Path) -> Iterator[str]:
    return filter(_WITHIN_UNFINISHED.fullmatch, _files(folder))


def _listed(folder: Path) -> Iterator[str]:
    """Yield the files that findings.json lists, and last itself; nothing where a run did not leave it so."""
    found = written_by_us(folder / FINDINGS_FILE)
    try:
        listed = set() if found is None else files_named(found)
    except (KeyError, TypeError):  # a person edited it
        return
    yield from _files(folder) & listed
    if found is not None:
        yield FINDINGS_FILE


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}
