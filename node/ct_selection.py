"""CT stacks -> the one that a pipeline runs on (or all that fit), and for every other the reason why not. Pure.

References
----------
PS3.3 C.8.2.1.1.1: value 3 of Image Type is AXIAL or LOCALIZER for CT.
"""

from collections.abc import Sequence

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from inference.card import CTInput, KernelPreference
from inference.findings import Refusal
from inference.geometry import check_stack
from inference.kernel import Sharpness, sharpness
from node.body_parts import BodyPart
from node.choices import Choice, named_by, refused, unknown_body_part, wrong_body_part
from node.stacks import Plane, Stack

_ROUNDING = 1.01
"""Positions are written with few digits, and the distances between them are off by as much."""
_AXIAL = "Send the axial reconstruction."
_ENHANCED = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_REFORMATS = frozenset({"MPR", "REFORMATTED", "CURVED", "MIP", "MINIP", "VOLUME RENDERED", "3D", "PROJECTION IMAGE"})


def select_volumes(stacks: Sequence[Stack], wanted: CTInput, *, every: bool = False) -> list[Choice]:
    """Choose the stack that a pipeline runs on.

    Parameters
    ----------
    stacks : sequence of Stack
        All that may be chosen.
    wanted : CTInput
        What the pipeline reads.
    every : bool
        Whether it runs on all stacks that fit.

    Returns
    -------
    list of Choice
        One for every stack, in the same order; at most one runs unless `every`.
    """
    unfit = {id(stack): _unfit(stack, wanted) for stack in stacks}
    eligible = sorted((s for s in stacks if unfit[id(s)] is None), key=lambda s: _rank(s, wanted))
    choices = []
    for stack in stacks:
        refusal = unfit[id(stack)]
        if refusal is not None:
            choice = refused(stack, refusal)
        elif every or stack is eligible[0]:
            reason = _why(stack, eligible, wanted, every=every) + unknown_body_part(stack)
            choice = Choice(stack=stack, runs=True, code="selected", reason=reason)
        else:
            choice = Choice(stack=stack, runs=False, code="not-best", reason=_why_not(stack, eligible[0], wanted))
        choices.append(choice)
    return choices


def likeness_to_chest(stack: Stack) -> tuple[bool, bool, bool, int]:
    """Order stacks that do not fit by how near they come to a chest CT."""
    return (_wrong_kind(stack) is None, _wrong_place(stack) is None, stack.is_original, len(stack.instances))


def _unfit(stack: Stack, wanted: CTInput) -> Refusal | None:
    return _wrong_kind(stack) or _wrong_place(stack) or _wrong_shape(stack, wanted)


def _wrong_kind(stack: Stack) -> Refusal | None:
    first = stack.first
    if first.sop_class_uid in _ENHANCED or (first.number_of_frames or 1) > 1:
        return Refusal(
            code="multi-frame", reason="Enhanced (multi-frame) CT is not read yet.", remedy="Send single-frame CT."
        )
    if first.sop_class_uid != CTImageStorage:
        return Refusal(code="not-ct-image", reason=f"Not a CT image ({first.modality or 'no modality'}).", remedy="")
    if "LOCALIZER" in first.image_type:
        return Refusal(code="localizer", reason="A localizer (scout), not a volume.", remedy="")
    if not stack.is_original and _REFORMATS & {value.upper() for value in first.image_type[2:]}:
        return Refusal(
            code="reformat", reason=f"A reformat ({'/'.join(first.image_type)}), not a reconstruction.", remedy=""
        )
    return None


def _wrong_place(stack: Stack) -> Refusal | None:
    if (refusal := wrong_body_part(stack)) is not None:
        return refusal
    if stack.plane not in (Plane.AXIAL, Plane.NONE):
        return Refusal(code="not-axial", reason=f"The slices are {stack.plane.value}, not axial.", remedy=_AXIAL)
    return None


def _wrong_shape(stack: Stack, wanted: CTInput) -> Refusal | None:
    first = stack.first
    positions = [i.image_position_patient for i in stack.instances if i.image_position_patient]
    orientation = first.image_orientation_patient
    if orientation is None or len(positions) < len(stack.instances) or first.pixel_spacing is None:
        return Refusal(
            code="no-geometry",
            reason="Image position, orientation or pixel spacing is absent.",
            remedy="Send images with ImagePositionPatient, ImageOrientationPatient and PixelSpacing.",
        )
    checked = check_stack(positions, orientation)
    if isinstance(checked, Refusal):
        return checked
    thinnest, thickest = wanted.thickness_mm
    thickness = max(first.slice_thickness or checked, checked)
    if not thinnest / _ROUNDING <= thickness <= thickest * _ROUNDING:
        return Refusal(
            code="thickness",
            reason=f"Slices of {thickness:g} mm; the pipeline reads {thinnest:g} to {thickest:g} mm.",
            remedy="Send a thinner reconstruction." if thickness > thickest else "",
        )
    if stack.coverage_mm < wanted.min_coverage_mm:
        return Refusal(
            code="coverage",
            reason=f"The stack covers {stack.coverage_mm:.0f} mm; at least {wanted.min_coverage_mm:.0f} mm are needed.",
            remedy="Send the whole chest.",
        )
    return None


def _rank(stack: Stack, wanted: CTInput) -> tuple[bool, bool, int, bool, float, str]:
    """Order eligible stacks, best first: known body part, original, coverage (in steps of 3 cm), kernel, thinness."""
    return (
        named_by(stack) is BodyPart.UNKNOWN,
        not stack.is_original,
        -int(stack.coverage_mm // 30),
        not _kernel_fits(stack, wanted),
        stack.first.slice_thickness or 0.0,
        stack.first.series_instance_uid,
    )


def _kernel_fits(stack: Stack, wanted: CTInput) -> bool:
    if wanted.kernel is KernelPreference.ANY:
        return True
    found = sharpness(stack.first.convolution_kernel)
    return found is Sharpness.UNKNOWN or found.value == wanted.kernel.value


def _why(stack: Stack, eligible: Sequence[Stack], wanted: CTInput, *, every: bool) -> str:
    if len(eligible) == 1:
        return "The only stack that fits."
    if every:
        return f"One of {len(eligible)} that fit, which all run ({_traits(stack, wanted)})."
    return f"The best of {len(eligible)} that fit ({_traits(stack, wanted)})."


def _why_not(stack: Stack, best: Stack, wanted: CTInput) -> str:
    return f"Fits ({_traits(stack, wanted)}), but {best.label} fits better ({_traits(best, wanted)})."


def _traits(stack: Stack, wanted: CTInput) -> str:
    kernel = sharpness(stack.first.convolution_kernel)
    wish = "" if wanted.kernel is KernelPreference.ANY else f", {wanted.kernel.value} wanted"
    origin = "original" if stack.is_original else "derived"
    return f"{origin}, {stack.coverage_mm:.0f} mm, {kernel.value} kernel{wish}, {stack.first.slice_thickness or 0:g} mm"
