"""What a worker has ready before a job asks for it: a selection that it read, and findings made together with others.

A GPU takes about as long for eight images as for one. So the node may hand several jobs of one pipeline to a worker at
once: they are inferred together, and then each runs as it would alone, but finds its findings ready.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference.compute import set_limits
from inference.findings import Findings, SelectionRefusedError

if TYPE_CHECKING:  # imported by the worker's own process alone
    from inference.selected import Selected
    from node.worker import JobSpec

logger = logging.getLogger(__name__)


class _Selection:
    """The selection that was loaded last, where the job that loaded it said that another would read it."""

    def __init__(self) -> None:
        self._paths: tuple[Path, ...] = ()
        self._loaded: Selected | None = None

    def load(self, spec: "JobSpec") -> "Selected":
        """Read the files of a job, unless they are in memory."""
        from inference import registry, selected

        loaded = self._loaded if self._paths == spec.paths else None
        self._paths, self._loaded = (), None  # before the next is read: there is memory for one
        loaded = loaded or selected.load(registry.CARDS[spec.pipeline], spec.paths)
        if spec.keeps_selection:
            self._paths, self._loaded = spec.paths, loaded
        return loaded


selection = _Selection()
_ready: "dict[int, tuple[Findings, Selected]]" = {}


def ready(spec: "JobSpec") -> "tuple[Findings, Selected] | None":
    """Return, once, what was inferred for a job together with others."""
    return _ready.pop(spec.job_id, None)


def forget() -> None:
    """Let go of what nobody fetched."""
    _ready.clear()


def infer_together(specs: "Sequence[JobSpec]", device: str) -> None:
    """Infer jobs of one pipeline at once; what cannot be is left for each job to meet alone."""
    forget()
    try:
        _ready.update(_inferred(specs, device))
    except Exception:  # each job meets its own fault again, and only its own
        logger.warning("%d jobs could not be inferred together, and run one by one", len(specs), exc_info=True)


def _inferred(specs: "Sequence[JobSpec]", device: str) -> "dict[int, tuple[Findings, Selected]]":
    from inference import registry, selected

    first = specs[0]
    set_limits(first.limits)
    pipeline = registry.load_several(first.pipeline, weights=first.weights, settings=first.settings)
    loaded: dict[int, Selected] = {}
    for spec in specs:
        try:
            source = selected.load(pipeline.card, spec.paths)
        except SelectionRefusedError:
            continue
        if pipeline.accepts(source) is None:
            loaded[spec.job_id] = source
    together = pipeline.together(list(loaded.values()), device)
    return {
        job_id: (findings, source)
        for (job_id, source), findings in zip(loaded.items(), together, strict=True)
        if isinstance(findings, Findings)
    }
