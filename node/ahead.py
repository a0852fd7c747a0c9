"""What a worker has ready before a job asks for it: a selection that it read, and findings made together with others.

A GPU takes about as long for eight images as for one. So the node may hand several jobs of one pipeline to a worker at
once: they are inferred together, and then each runs as it would alone, but finds its findings ready.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference.card import XRayInput
from inference.compute import set_limits
from inference.findings import Findings, Refusal, SelectionRefusedError

if TYPE_CHECKING:  # imported by the worker's own process alone
    from inference.selected import Selected
    from node.worker import JobSpec

logger = logging.getLogger(__name__)

_XRAYS = 8
"""That are kept, the one loaded last among them: as many as pipelines take at once."""


class _Selections:
    """What was loaded by jobs that said that others would read it: one CT stack, or X-rays."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, ...], Selected] = OrderedDict()

    def load(self, spec: "JobSpec") -> "Selected":
        """Read the files of a job, unless they are in memory."""
        from inference import registry, selected

        loaded = self._kept.pop(spec.paths, None)
        if loaded is None:
            card = registry.CARDS[spec.pipeline]
            self._make_room(is_small=isinstance(card.input, XRayInput))
            loaded = selected.load(card, spec.paths)
        if spec.keeps_selection:
            self._kept[spec.paths] = loaded
        return loaded

    def _make_room(self, *, is_small: bool) -> None:
        """Let go, before the next is read: of a CT stack there is memory for one."""
        from inference.series import Series

        while self._kept and (
            not is_small or len(self._kept) >= _XRAYS or isinstance(next(iter(self._kept.values())), Series)
        ):
            self._kept.popitem(last=False)


selections = _Selections()
_ready: "dict[int, tuple[Findings, Selected] | Refusal]" = {}


def ready(spec: "JobSpec") -> "tuple[Findings, Selected] | Refusal | None":
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


def _inferred(specs: "Sequence[JobSpec]", device: str) -> "dict[int, tuple[Findings, Selected] | Refusal]":
    from inference import registry

    first = specs[0]
    set_limits(first.limits)
    pipeline = registry.load_several(first.pipeline, weights=first.weights, settings=first.settings)
    loaded: dict[int, Selected] = {}
    refused: dict[int, Refusal] = {}
    for spec in specs:
        try:
            source = selections.load(spec)
        except SelectionRefusedError as error:
            refused[spec.job_id] = error.refusal
            continue
        if refusal := pipeline.accepts(source):
            refused[spec.job_id] = refusal
        else:
            loaded[spec.job_id] = source
    together = pipeline.together(list(loaded.values()), device)
    return refused | {
        job_id: (outcome, source) if isinstance(outcome, Findings) else outcome
        for (job_id, source), outcome in zip(loaded.items(), together, strict=True)
    }
