"""What every pipeline of radiographs says alike: areas, doubts about the image, and why it does not fit."""

from collections.abc import Iterator, Sequence

from inference.card import XRayInput
from inference.coding import Code
from inference.findings import Measurement, Refusal, Site
from inference.radiograph import Radiograph

_AREA = Code("42798000", "SCT", "Area")
_MM2 = Code("mm2", "UCUM", "mm2")
_STATE_VIEW = (
    "If it is one, state View Position (0018,5101) and Patient Orientation (0020,0020), check the window, and send it "
    "again."
)


def unfit(radiograph: Radiograph, needed: XRayInput) -> Refusal | None:
    """Say why an image does not fit, or None: it must be large enough, and show something."""
    rows, columns = radiograph.pixel_array.shape[1:]
    if rows < needed.min_size[0] or columns < needed.min_size[1]:
        return Refusal(
            code="image-too-small",
            reason=f"The image has {rows} x {columns} pixels; at least {' x '.join(map(str, needed.min_size))} "
            "are needed.",
            remedy="Send the image in its own size.",
        )
    if not radiograph.pixel_array.any():
        return Refusal(code="empty-image", reason="All pixels have one value.", remedy="Send the image again.")
    return None


def not_frontal(doubts: Sequence[str], remedy: str) -> Refusal:
    """Return the refusal of an image whose lungs are not those of a frontal one."""
    return Refusal(code="not-frontal-chest", reason=f"Not a frontal chest image: {'; '.join(doubts)}.", remedy=remedy)


def hardly_frontal(radiograph: Radiograph, doubts: Sequence[str], needed: XRayInput) -> Refusal | None:
    """Return the refusal of an image that nothing says is frontal: neither its header nor its lungs.

    Lungs that are dense are hardly found as lungs, and may be what is looked for: an image that states its view passes.
    """
    view = str(radiograph.header.get("ViewPosition") or "").strip().upper()
    return None if not doubts or view in needed.view_positions else not_frontal(doubts, _STATE_VIEW)


def area(pixels: int, radiograph: Radiograph, site: Site | None = None) -> tuple[Measurement, ...]:
    """Return the area, where the size of a pixel is known."""
    of_one = radiograph.pixel_area_mm2
    return () if of_one is None else (Measurement(concept=_AREA, value=pixels * of_one, unit=_MM2, site=site),)


def doubts_about(radiograph: Radiograph, *, areas: bool = True) -> Iterator[str]:
    """Yield what a reader must know of how the image came; `areas` says whether any are told."""
    if not radiograph.upright.is_stated:
        yield "Patient Orientation is absent: right and left are those of an upright image, unmirrored."
    if areas and radiograph.pixel_area_mm2 is None:
        yield "The size of a pixel is not known: areas are shares only."
    if radiograph.is_window_ignored:
        yield "The image's own window shows nothing; the whole range of its values was used instead."
