"""CTs as the networks of `ct-severity` see them in the pipeline, made once and kept in a folder.

``files -> series.load -> resampled_ct -> prepare_ct -> Prepared.resized``: the pipeline's own functions.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference import series
from inference.findings import Refusal, SelectionRefusedError
from inference.pipelines.ct_severity import CARD, CTSeverity
from inference.resampled_ct import resampled_ct
from inference.severity.prepared import prepare_ct
from inference.weights import Verified
from training.ct_severity.cases import Case

Volume = NDArray[np.float16]


class Volumes:
    """Prepared CTs.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    size : sequence of 3 int
        Slices, rows and columns of the network's input.
    lung_mask : Verified
        Weights of the slot `lungmask-r231`.
    device : str
        Torch device that finds the lungs.
    """

    def __init__(self, folder: Path, *, size: Sequence[int], lung_mask: Verified, device: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._size = tuple(size)
        self._lung_mask = lung_mask
        self._device = device

    def __call__(self, case: Case) -> Volume | Refusal:
        """Return a CT as its network sees it, shape `size`, from 0 to 1; or why the pipeline would refuse it."""
        path = self._folder / f"{self._key(case)}.npy"
        if path.exists():
            kept: Volume = np.load(path)
            return kept
        made = self._made(case)
        if not isinstance(made, Refusal):
            part = path.with_suffix(".part")
            with part.open("wb") as stream:
                np.save(stream, made)
            part.replace(path)
        return made

    def _made(self, case: Case) -> Volume | Refusal:
        try:
            loaded = series.load(case.paths)
            if refusal := CTSeverity(self._lung_mask.path.parent).accepts(loaded):
                return refusal
            prepared, _ = prepare_ct(resampled_ct(loaded, self._lung_mask, device=self._device))
        except SelectionRefusedError as error:
            return error.refusal
        return prepared.resized(self._size).astype(np.float16)

    def _key(self, case: Case) -> str:
        """Name all that decides what comes out: files as they are, version of the pipeline, lung mask, size."""
        states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in case.paths]
        said = [states, CARD.version, self._lung_mask.sha256, self._size]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()
