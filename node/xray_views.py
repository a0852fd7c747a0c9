"""Which view an X-ray image is, as far as its header tells. Pure.

View Position comes in the terms of the standard, in older ones and in free text; where it and the view's code are
absent, Patient Orientation can rule a frontal view out, and a series description often names the view.

References
----------
PS3.3 C.8.1.1 and C.8.11.5.1.1 View Position, C.7.6.1.1.1 Patient Orientation; PS3.16 CID 4010.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from inference.upright import upright
from node.header import InstanceHeader


class View(StrEnum):
    """Views as a person names them."""

    PA = "PA"
    AP = "AP"
    FRONTAL = "frontal"
    LATERAL = "lateral"
    OBLIQUE = "oblique"
    DECUBITUS = "decubitus"
    LORDOTIC = "axial or lordotic"
    OTHER = "another projection"
    UNKNOWN = "unknown"


FRONTAL = frozenset({View.PA, View.AP, View.FRONTAL})


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenView:
    """A view, and what says so."""

    view: View
    source: str = ""

    def __str__(self) -> str:
        says_as_much = self.source in {"", f"View Position {self.view.value}"}
        return self.view.value if says_as_much else f"{self.view.value} by {self.source}"


_INITIALS = re.compile(r"\b([AP])\.([AP])\b")
_WORDS: tuple[tuple[View, re.Pattern[str]], ...] = (
    (View.DECUBITUS, re.compile(r"LLD|RLD|DECUB.*|LDEC|RDEC")),
    (View.OBLIQUE, re.compile(r"OBL.*|[LR][AP]O|[LR]LO|SCHR(AE|Ä)G.*")),
    (View.LORDOTIC, re.compile(r"AXIAL|LORDOTI.*|APICAL")),
    (View.LATERAL, re.compile(r"LL|RL|LAT|[LR]LAT|LATERA.*|SEIT|SEITL.*|PROFIL.*|SAGITTAL")),
    (View.OTHER, re.compile(r"TANGENTIAL|CRANIO|CAUDO|PLANTODORSAL|DORSOPLANTAR")),
    (View.PA, re.compile(r"PA|DV|POSTERO")),
    (View.AP, re.compile(r"AP|VD|ANTERO")),
    (View.FRONTAL, re.compile(r"FRONTAL.*|FACE")),
)
"""Words by the view that they name. What qualifies stands before PA and AP: "AP AXIAL" is no plain AP."""


def view_of(header: InstanceHeader) -> SeenView:
    """Say which view an image is; an image of whose view nothing is said, or opposite things, is of an unknown one."""
    stated = named_view(header.view_position)
    if stated is not View.UNKNOWN and stated not in FRONTAL:
        return SeenView(view=stated, source=f"View Position {header.view_position}")
    orientation = header.patient_orientation
    if upright(orientation) is None:
        return SeenView(
            view=View.LATERAL if _is_sagittal(orientation) else View.OTHER,
            source=f"Patient Orientation {'/'.join(orientation)}",
        )
    if stated is not View.UNKNOWN:
        return SeenView(view=stated, source=f"View Position {header.view_position}")
    described = named_view(header.series_description)
    if described is not View.UNKNOWN:
        return SeenView(view=described, source=f"series description {header.series_description!r}")
    return SeenView(view=View.UNKNOWN)


def named_view(text: str) -> View:
    """Return the view that a text names; unknown where it names none, or a frontal and a lateral one."""
    joined = _INITIALS.sub(r"\1\2", text.upper()).replace("LATERAL DECUB", "DECUB")
    words = re.findall(r"[^\W\d_]+", joined)
    named = {view for word in words for view, pattern in _WORDS if pattern.fullmatch(word)}
    if View.LATERAL in named and named & FRONTAL:
        return View.UNKNOWN
    if {View.PA, View.AP} <= named:
        return View.FRONTAL
    return next((view for view, _ in _WORDS if view in named), View.UNKNOWN)


def _is_sagittal(orientation: tuple[str, ...]) -> bool:
    """Say whether rows or columns run from front to back."""
    return any(value.strip().upper()[:1] in {"A", "P"} for value in orientation if value.strip())
