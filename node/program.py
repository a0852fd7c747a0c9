"""The program: ``opacity-node``, and ``python -m node``.

``serve`` reads headers and leaves pixels to its workers, so its pydicom comes without decoders: it would load every one
that is installed, a fifth of the memory of the service. That has to be settled before anything imports pydicom, as the
command line does. Workers are spawned, import pydicom anew, and have them all.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FOR_PIXELS = ("gdcm", "pylibjpeg", "openjpeg", "libjpeg", "rle", "jpeg_ls", "PIL")
_FOR_ITS_EXAMPLES = ("requests", "tqdm")
"""What pydicom fetches its own test files with."""


def main() -> None:
    """Run the command of the command line."""
    if sys.argv[1:2] == ["serve"]:
        with _hidden(*_FOR_PIXELS, *_FOR_ITS_EXAMPLES):
            import pydicom  # noqa: F401 - looks once for what it can use
    from node.cli import app

    app()


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Have modules not be there for what is imported within."""
    names = tuple(name for name in names if name not in sys.modules)
    hidden: dict[str, Any] = dict.fromkeys(names)  # None is the import system's own way to say so
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
