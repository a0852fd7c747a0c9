"""A state dict in a file that says how it was made, so that nothing is made twice."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def made_once(path: Path, said: Mapping[str, str], make: Callable[[], Mapping[str, Tensor]]) -> float:
    """Make a state dict into a file, unless the file says that it was made so.

    Parameters
    ----------
    path : Path
        Of the ``.safetensors``.
    said : Mapping[str, str]
        All that decides what comes out.
    make : callable
        Returns the state dict.

    Returns
    -------
    float
        Seconds of CPU time that it took, when it was made.
    """
    if not (path.exists() and said.items() <= _metadata(path).items()):
        began = time.process_time()
        state = {name: value.contiguous() for name, value in make().items()}
        took = {"cpu_seconds": f"{time.process_time() - began:.0f}"}
        part = path.with_suffix(".part")
        save_file(state, part, metadata={**said, **took})
        part.chmod(0o644)  # safetensors leaves it to its owner alone
        part.replace(path)
    return float(_metadata(path)["cpu_seconds"])


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}
