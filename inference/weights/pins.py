"""Pins: what a file of weights must hash to, and how files and folders are hashed."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

_CHUNK = 1 << 20
_LENGTHS = {"sha256": (64, 64), "sha256-prefix": (8, 63), "git-blob-sha1": (40, 40)}


class PinKind(StrEnum):
    """What was published of a file; a prefix is what torch hub puts into a file's name."""

    SHA256 = "sha256"
    SHA256_PREFIX = "sha256-prefix"
    GIT_BLOB_SHA1 = "git-blob-sha1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """What a file or folder hashes to.

    Attributes
    ----------
    size : int
        Bytes; of a folder, of all its files.
    sha256 : str
        Of the bytes; of a folder, over its listing (`of_folder`). Hexadecimal.
    git_blob_sha1 : str
        As `git hash-object` prints it; of a folder empty.
    """

    size: int
    sha256: str
    git_blob_sha1: str = ""


class Pin(BaseModel):
    """What a file must hash to.

    Attributes
    ----------
    kind : PinKind
        Which hash.
    value : str
        Lower-case hexadecimal.
    origin : str
        Who said so, where it is not the publisher.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PinKind
    value: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$")]
    origin: str = "publisher"

    @model_validator(mode="after")
    def _has_the_length_of_its_kind(self) -> Self:
        low, high = _LENGTHS[self.kind]
        if not low <= len(self.value) <= high:
            raise ValueError(f"a pin of kind {self.kind} has {low} to {high} digits, not {len(self.value)}")
        return self

    def fits(self, digest: Digest) -> bool:
        """Say whether a file is the pinned one."""
        if self.kind is PinKind.GIT_BLOB_SHA1:
            return digest.git_blob_sha1 == self.value
        return digest.sha256.startswith(self.value)

    def of(self, digest: Digest) -> str:
        """Return what a digest says of the pinned kind, for people to compare."""
        return digest.git_blob_sha1 if self.kind is PinKind.GIT_BLOB_SHA1 else digest.sha256[: len(self.value)]


def of(path: Path) -> Digest:
    """Hash a file, or a folder.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If a folder holds no file, or something that is neither file nor folder.
    """
    return of_folder(path) if path.is_dir() else of_file(path)


def of_file(path: Path) -> Digest:
    """Hash a file."""
    size = path.stat().st_size
    sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
            blob.update(chunk)
    return Digest(size=size, sha256=sha256.hexdigest(), git_blob_sha1=blob.hexdigest())


def of_folder(folder: Path) -> Digest:
    r"""Hash a folder: SHA-256 over a line ``<sha256>  <relative name>`` for each file, sorted by the names' bytes.

    ``find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`` says the same.
    """
    digests = {name: of_file(folder / name) for name in files_of(folder)}
    if not digests:
        raise ValueError(f"{folder} holds no file")
    return Digest(
        size=sum(digest.size for digest in digests.values()),
        sha256=listing_sha256({name: digest.sha256 for name, digest in digests.items()}),
    )


def files_of(folder: Path) -> list[str]:
    """Return the relative names of all files below a folder.

    Raises
    ------
    ValueError
        If there is a symbolic link or a special file: what it stands for could change without a trace.
    """
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path} is neither a file nor a folder; give a folder of files alone")
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
    return found


def listing_sha256(hashes: dict[str, str]) -> str:
    """Return the SHA-256 over names and their hashes, as ``sha256sum`` lists them, sorted by the names' bytes."""
    lines = (f"{hashes[name]}  {name}\n" for name in sorted(hashes, key=str.encode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
