"""Which kinds of objects a destination gets, by its settings. Pure.

What is not wanted by any destination of a job is not built where it is large: maps. All else is built, and kept, so
that it can be sent later.
"""

from collections.abc import Iterable

from dicom_out.context import ResultKind
from inference.card import XRayInput
from inference.registry import CARDS
from node.config import Config
from node.sections import Destination

MAPS = frozenset({ResultKind.MAP, ResultKind.COARSE_MAP})
OBJECTS = {
    "report": ResultKind.SR,
    "segmentation": ResultKind.SEG,
    "key-image": ResultKind.KEY_IMAGE,
}
"""By their names in the configuration."""


def wanted(destination: Destination | None, pipeline: str) -> frozenset[ResultKind]:
    """Return the kinds of a pipeline's objects that a destination gets.

    Parameters
    ----------
    destination : Destination or None
        None where the configuration has it no more: then all but maps, which wait until it is there again.
    pipeline : str
        Its name; an X-ray image has one kind of map only, which is small.
    """
    if destination is None:
        return frozenset(ResultKind) - MAPS
    # Whether there are notices is what the rule says.
    kinds = {ResultKind.NOTICE, *(OBJECTS[name] for name in destination.objects)}
    if destination.maps != "none":
        kinds.add(ResultKind.COARSE_MAP if destination.maps == "coarse" and not _is_xray(pipeline) else ResultKind.MAP)
    return frozenset(kinds)


def wants(config: Config, destination: str, pipeline: str, kind: str) -> bool:
    """Say whether the destination of that name gets objects of a kind."""
    return kind in wanted(config.destination(destination), pipeline)


def maps(config: Config, destinations: Iterable[str], pipeline: str) -> tuple[ResultKind, ...]:
    """Return the kinds of maps that a job is to build."""
    kinds = {kind for name in destinations for kind in wanted(config.destination(name), pipeline)}
    return tuple(sorted(kinds & MAPS))


def _is_xray(pipeline: str) -> bool:
    return pipeline in CARDS and isinstance(CARDS[pipeline].input, XRayInput)
