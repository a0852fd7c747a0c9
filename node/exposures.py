"""X-ray images of one exposure: for processing and for presentation, or a second, processed copy. Pure.

Of each exposure one image is read. Two images of one view that were exposed one after the other are two.

References
----------
PS3.3 C.7.6.1 Irradiation Event UID, C.7.6.1.1.2 Image Type, C.7.6.1.1.4 Source Image Sequence.
"""

import re
from collections.abc import Collection, Sequence

from node.header import InstanceHeader
from node.stacks import Stack
from node.xray_views import View, view_of

_ADDED = re.compile(r"bone|soft|tissue|edge|enhanc|line|cathet|pneumo|suppress|invert|process|copy", re.IGNORECASE)
"""In the description of images that a device makes beside the usual one of an exposure."""


def preference(stack: Stack) -> tuple[bool, bool, bool, int, int, str]:
    """Order the images of an exposure, the one to read first: of the device itself, the usual one, numbered first."""
    first = stack.first
    return (
        "SECONDARY" in first.image_type[1:2],
        bool(_ADDED.search(first.series_description)),
        "DERIVED" in first.image_type[:1] or bool(first.source_instance_uids),
        first.series_number or 0,
        first.instance_number or 0,
        first.sop_instance_uid,
    )


def same_exposure(stack: Stack, others: Sequence[Stack], vague: Collection[str]) -> tuple[Stack | None, str]:
    """Return the first of other images that was exposed together with an image, and what tells so.

    Parameters
    ----------
    stack : Stack
        One image.
    others : sequence of Stack
        Other images of the study.
    vague : collection of str
        Acquisition times that tell nothing.
    """
    for other in others:
        if how := _how_same(stack.first, other.first, vague):
            return other, how
    return None, ""


def possible_exposure(stack: Stack, others: Sequence[Stack]) -> Stack | None:
    """Return the first of other images of the same view that nothing tells apart from the exposure of an image."""
    one, view = stack.first, view_of(stack.first).view
    for other in others:
        known = [
            one.irradiation_event_uid and other.first.irradiation_event_uid,
            one.acquired_at and other.first.acquired_at,
        ]
        if view_of(other.first).view is view and not any(known):
            return other
    return None


def vague_moments(stacks: Sequence[Stack]) -> frozenset[str]:
    """Return acquisition times that images of different views share: those of a study, not of an exposure."""
    views: dict[str, set[View]] = {}
    for stack in stacks:
        if (view := view_of(stack.first).view) is not View.UNKNOWN:
            views.setdefault(stack.first.acquired_at, set()).add(view)
    return frozenset(moment for moment, seen in views.items() if len(seen) > 1)


def _how_same(one: InstanceHeader, other: InstanceHeader, vague: Collection[str]) -> str:
    if one.irradiation_event_uid and other.irradiation_event_uid:
        is_one_event = not set(one.irradiation_event_uid).isdisjoint(other.irradiation_event_uid)
        return "both have the same Irradiation Event UID" if is_one_event else ""
    if not _origins(one).isdisjoint(_origins(other)):
        return "Source Image Sequence says so"
    view = view_of(one).view
    is_known = view is not View.UNKNOWN and bool(one.acquired_at) and one.acquired_at not in vague
    if is_known and one.acquired_at == other.acquired_at and view is view_of(other).view:
        return "both have the same view and acquisition time"
    return ""


def _origins(header: InstanceHeader) -> set[str]:
    """Return an image and the one that it was made from; a montage of several stands for itself."""
    sources = set(header.source_instance_uids)
    return {header.sop_instance_uid} | (sources if len(sources) == 1 else set())
