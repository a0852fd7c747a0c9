"""Network weights on disk: pinned by SHA-256, looked up in one folder, never used unverified."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A file of weights that results may be computed with.

    Attributes
    ----------
    name : str
        As in model cards.
    file : str
        Name within the weights folder.
    sha256 : str
        Hexadecimal, of the whole file.
    licence : str
        SPDX expression.
    """

    name: str
    file: str
    sha256: str
    licence: str


R231 = Weights(
    name="lungmask-r231",
    file="unet_r231-d5d2fc3d.pth",
    sha256="d5d2fc3df432115933491f115b283e94d1f5c841c0e82f6e7bd2d65d3ccde69f",
    licence="Apache-2.0",
)
PINNED = {weights.name: weights for weights in (R231,)}


class WrongWeightsError(Exception):
    """A weights file is not the one that is pinned."""

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        super().__init__(
            f"{path} has SHA-256 {found}, expected {expected}. Replace it by the published file, or move it out of "
            f"the weights folder to run without it; nothing was deleted."
        )
        self.path, self.expected, self.found = path, expected, found


def find(name: str, folder: Path) -> Path | None:
    """Find a weights file and verify it.

    Parameters
    ----------
    name : str
        A key of `PINNED`.
    folder : Path
        Where weights lie; need not exist.

    Returns
    -------
    Path or None
        None where the file is absent.

    Raises
    ------
    KeyError
        If nothing is pinned under that name.
    WrongWeightsError
        If the file is not the pinned one.
    """
    weights = PINNED[name]
    path = folder / weights.file
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != weights.sha256:
        raise WrongWeightsError(path, expected=weights.sha256, found=found)
    return path
