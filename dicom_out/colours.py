"""Colours of regions: one choice for SEG and key image, told apart by colour-blind readers too.

References
----------
Okabe and Ito, Color Universal Design, 2008. PS3.3 C.10.7.1.1 Encoding of CIELab Values.
"""

from collections import Counter
from collections.abc import Sequence

from highdicom.color import CIELabColor

from inference.findings import Box, Purpose, Region

RGB = tuple[int, int, int]

_PALETTES: dict[Purpose, tuple[RGB, ...]] = {
    Purpose.LUNGS: ((102, 221, 255), (119, 119, 255), (51, 153, 187), (119, 170, 255)),
    Purpose.OPACITY: ((240, 150, 0), (255, 255, 0), (204, 102, 85), (238, 204, 153)),
}


def colours(regions: Sequence[Region]) -> tuple[RGB, ...]:
    """Return one colour a region: cold ones for lungs, warm ones for opacities, in their order."""
    seen: Counter[Purpose] = Counter()
    chosen = []
    for region in regions:
        palette = _PALETTES[region.purpose]
        chosen.append(palette[seen[region.purpose] % len(palette)])
        seen[region.purpose] += 1
    return tuple(chosen)


def box_colours(boxes: Sequence[Box]) -> tuple[RGB, ...]:
    """Return one colour a box: warm ones, as those of opacities, and the same for what is the same."""
    palette = _PALETTES[Purpose.OPACITY]
    findings = list(dict.fromkeys(box.finding for box in boxes))
    return tuple(palette[findings.index(box.finding) % len(palette)] for box in boxes)


def cielab(rgb: RGB) -> CIELabColor:
    """Return a colour for Recommended Display CIELab Value (0062,000D)."""
    return CIELabColor.from_rgb(*rgb)
