"""X-ray images -> those that a pipeline runs on, each a job, and for every other the reason why not. Pure.

Many attributes of real images are absent or free text: an image is left out for what it says, never for what it does
not say. What an image without view or body part shows, the pipeline finds out.

References
----------
PS3.3 C.8.11.1 Presentation Intent Type, C.7.6.1.1.2 Image Type.
"""

from collections.abc import Collection, Sequence

from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from inference.card import XRayInput
from inference.findings import Refusal
from node.body_parts import BodyPart
from node.choices import Choice, named_by, refused, unknown_body_part, wrong_body_part
from node.exposures import possible_exposure, preference, same_exposure, vague_moments
from node.header import InstanceHeader
from node.stacks import XRAY_MODALITIES, Stack
from node.xray_views import FRONTAL, View, view_of

_IMAGES = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    }
)
"""Archives and whoever de-identified an image keep it as Secondary Capture, with the modality it had."""
_FOR_PROCESSING = "for-processing"


def select_images(stacks: Sequence[Stack], wanted: XRayInput) -> list[Choice]:
    """Choose the images that a pipeline runs on: of each exposure that fits, one image.

    Parameters
    ----------
    stacks : sequence of Stack
        All that may be chosen.
    wanted : XRayInput
        What the pipeline reads.

    Returns
    -------
    list of Choice
        One for every stack, in the same order.
    """
    unfit = {id(stack): _unfit(stack, wanted) for stack in stacks}
    vague = vague_moments(stacks)
    runs: list[Stack] = []
    copies: dict[int, Choice] = {}
    for stack in sorted((s for s in stacks if unfit[id(s)] is None), key=preference):
        copy = _copy(stack, runs, vague)
        if copy is None:
            runs.append(stack)
        else:
            copies[id(stack)] = copy
    choices = []
    for stack in stacks:
        refusal = unfit[id(stack)]
        if refusal is None:
            choices.append(copies.get(id(stack)) or _chosen(stack, len(runs)))
        elif refusal.code == _FOR_PROCESSING:
            choices.append(_for_processing(stack, refusal, runs, vague))
        else:
            choices.append(refused(stack, refusal))
    return choices


def likeness_to_chest(stack: Stack, wanted: XRayInput) -> tuple[bool, bool, bool, bool]:
    """Order images that do not fit by how near they come to a frontal chest image."""
    return (
        _wrong_kind(stack) is None,
        wrong_body_part(stack) is None,
        _wrong_view(stack, wanted) is None,
        not _is_for_processing(stack.first),
    )


def _unfit(stack: Stack, wanted: XRayInput) -> Refusal | None:
    return (
        _wrong_kind(stack)
        or wrong_body_part(stack)
        or _wrong_view(stack, wanted)
        or _not_for_presentation(stack)
        or _too_small(stack, wanted)
    )


def _wrong_kind(stack: Stack) -> Refusal | None:
    first = stack.first
    if first.sop_class_uid not in _IMAGES or first.modality not in XRAY_MODALITIES:
        modality = first.modality or "an object without modality"
        sop_class = UID(first.sop_class_uid).name or "an object without SOP class"
        what = sop_class if first.modality in XRAY_MODALITIES else modality
        return Refusal(
            code="not-xray-image",
            reason=f"This is {what}; the pipeline reads X-ray images (CR, DX).",
            remedy="",
        )
    if (first.number_of_frames or 1) > 1:
        return Refusal(
            code="multi-frame",
            reason=f"The image has {first.number_of_frames} frames.",
            remedy="Send single images.",
        )
    photometric = first.photometric_interpretation.upper()
    if (first.samples_per_pixel or 1) > 1 or (photometric and not photometric.startswith("MONOCHROME")):
        return Refusal(
            code="not-grayscale",
            reason=f"The image is in colour ({photometric or 'several samples per pixel'}), as screen captures are.",
            remedy="Send the X-ray image itself, in grayscale.",
        )
    if "LOCALIZER" in first.image_type:
        return Refusal(code="localizer", reason="A localizer (scout), not an X-ray image to read.", remedy="")
    return None


def _wrong_view(stack: Stack, wanted: XRayInput) -> Refusal | None:
    seen = view_of(stack.first)
    if seen.view is View.UNKNOWN or seen.view in wanted.view_positions:
        return None
    if seen.view is View.FRONTAL and FRONTAL.intersection(map(_view, wanted.view_positions)):
        return None
    code = "view" if seen.view in FRONTAL else "not-frontal"
    return Refusal(
        code=code,
        reason=f"The view is {seen}; the pipeline reads {' and '.join(wanted.view_positions)}.",
        remedy="If it is not, correct that and send it again.",
    )


def _view(position: str) -> View:
    return View(position) if position in set(View) else View.UNKNOWN


def _is_for_processing(header: InstanceHeader) -> bool:
    return (
        header.presentation_intent_type.upper() == "FOR PROCESSING"
        or header.sop_class_uid == DigitalXRayImageStorageForProcessing
    )


def _not_for_presentation(stack: Stack) -> Refusal | None:
    if not _is_for_processing(stack.first):
        return None
    return Refusal(
        code=_FOR_PROCESSING,
        reason="The image is for processing: as the detector gave it, not as it is read.",
        remedy="Send the image for presentation.",
    )


def _too_small(stack: Stack, wanted: XRayInput) -> Refusal | None:
    rows, columns = stack.first.rows, stack.first.columns
    if rows is None or columns is None or (rows >= wanted.min_size[0] and columns >= wanted.min_size[1]):
        return None
    return Refusal(
        code="image-too-small",
        reason=f"The image has {rows} x {columns} pixels; at least {' x '.join(map(str, wanted.min_size))} are needed.",
        remedy="Send the image in its own size.",
    )


def _copy(stack: Stack, runs: Sequence[Stack], vague: Collection[str]) -> Choice | None:
    """Return the choice not to run on an image of an exposure on which another image runs."""
    original, how = same_exposure(stack, runs, vague)
    if original is None:
        return None
    return Choice(stack=stack, runs=False, code="copy", reason=f"The exposure of {original.label}, which runs: {how}.")


def _for_processing(stack: Stack, refusal: Refusal, runs: Sequence[Stack], vague: Collection[str]) -> Choice:
    original, how = same_exposure(stack, runs, vague)
    if original is not None:
        reason = f"{refusal.reason} For presentation it is {original.label}, which runs: {how}."
    elif (likely := possible_exposure(stack, runs)) is not None:
        reason = f"{refusal.reason} For presentation, {likely.label} of the same view runs."
    else:
        return refused(stack, refusal)
    return Choice(stack=stack, runs=False, code=refusal.code, reason=reason)


def _chosen(stack: Stack, count: int) -> Choice:
    seen = view_of(stack.first)
    which = "The only image that fits" if count == 1 else f"One of {count} images that fit, each of which runs"
    unsaid = [
        *(["its view"] if seen.view is View.UNKNOWN else []),
        *(["its body part"] if named_by(stack) is BodyPart.UNSTATED else []),
    ]
    told = f" ({seen})" if seen.view is not View.UNKNOWN else ""
    left = f" It does not state {' or '.join(unsaid)}: the pipeline judges whether it is a frontal chest image."
    reason = f"{which}{told}.{left if unsaid else ''}{unknown_body_part(stack)}"
    return Choice(stack=stack, runs=True, code="selected", reason=reason)
