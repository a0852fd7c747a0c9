"""How sharp a CT reconstruction kernel is, from its vendor's name for it.

References
----------
Vendor naming as summarised in the QIBA Lung Density profile and the vendors' DICOM conformance statements: Siemens
letters with a number that grows with sharpness (B30f, Br40, Bl57), GE words, Canon FCnn, Philips letters.
"""

import re
from enum import StrEnum


class Sharpness(StrEnum):
    """Class of a kernel."""

    SOFT = "soft"
    SHARP = "sharp"
    UNKNOWN = "unknown"


_SOFT = frozenset({"STANDARD", "SOFT", "STND", "DETAIL", "A", "B", "C"})
_SHARP = frozenset({"LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "D", "E", "L", "YA", "YB", "YC", "YD"})
_SIEMENS = re.compile(r"(?:[BHTDIQJU][A-Z]?)(\d{2})[A-Z]?(?:[ /\\].*)?")
_SIEMENS_SHARP_FROM = 50
_CANON = re.compile(r"FC(\d{2})")
_CANON_SHARP = (range(30, 40), range(50, 60), range(80, 90))


def sharpness(convolution_kernel: str) -> Sharpness:
    """Classify the value of Convolution Kernel (0018,1210)."""
    name = convolution_kernel.strip().upper()
    words = re.split(r"[ \\/_-]", name)
    if words[0] in _SOFT:
        return Sharpness.SOFT
    if words[0] in _SHARP:
        return Sharpness.SHARP
    if canon := _CANON.match(name):
        number = int(canon[1])
        return Sharpness.SHARP if any(number in r for r in _CANON_SHARP) else Sharpness.SOFT
    if siemens := _SIEMENS.fullmatch(name):
        return Sharpness.SHARP if int(siemens[1]) >= _SIEMENS_SHARP_FROM else Sharpness.SOFT
    return Sharpness.UNKNOWN
