"""Colours of regions: one choice for SEG and key image, told apart by colour-blind readers too.

References
----------
Okabe and Ito, Color Universal Design, 2008. PS3.3 C.10.7.1.1 Encoding of CIELab Values.
"""

from collections import Counter
from collections.abc import Sequence

from highdicom.color import CIELabColor

from inference.findings import Purpose, Region

RGB = tuple[int, int, int]

_PALETTES: dict[Purpose, tuple[RGB, ...]] = {
    Purpose.LUNGS: ((86, 180, 233), (0, 190, 140), (120, 150, 255), (150, 220, 220), (190, 190, 255)),
    Purpose.OPACITY: ((255, 165, 0), (240, 228, 66), (235, 110, 40), (224, 141, 187), (255, 200, 150)),
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


def cielab(rgb: RGB) -> CIELabColor:
    """Return a colour for Recommended Display CIELab Value (0062,000D)."""
    return CIELabColor.from_rgb(*rgb)
