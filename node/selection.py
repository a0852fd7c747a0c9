"""Stacks -> what a pipeline runs on, as its card asks for CT or X-ray, and for every other the reason why not. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from inference.card import ModelCard, XRayInput
from inference.findings import Refusal
from node import ct_selection, xray_selection
from node.choices import Choice, refused
from node.header import InstanceHeader, field_of
from node.stacks import XRAY_MODALITIES, Stack


def select(
    stacks: Sequence[Stack], card: ModelCard, *, every: bool = False, rejected: Collection[str] = frozenset()
) -> list[Choice]:
    """Choose what a pipeline runs on: of CT stacks the best one, of X-ray images every frontal one.

    Parameters
    ----------
    stacks : sequence of Stack
        Of a study.
    card : ModelCard
        Of the pipeline.
    every : bool
        Whether it runs on all CT stacks that fit.
    rejected : collection of str
        SOP Instance UIDs of images that the study's key objects take out.

    Returns
    -------
    list of Choice
        One for every stack, in the same order.
    """
    out = {id(s): refused(s, _REJECTED) for s in stacks if any(i.sop_instance_uid in rejected for i in s.instances)}
    rest = [stack for stack in stacks if id(stack) not in out]
    chosen = (
        xray_selection.select_images(rest, card.input)
        if isinstance(card.input, XRayInput)
        else ct_selection.select_volumes(rest, card.input, every=every)
    )
    by_stack = out | {id(choice.stack): _with_rejected(choice) for choice in chosen}
    return [by_stack[id(stack)] for stack in stacks]


def rejected_by(stacks: Sequence[Stack]) -> frozenset[str]:
    """Return the SOP Instance UIDs of images that key objects among the stacks take out."""
    return frozenset(uid for s in stacks for i in s.instances for uid in i.rejected_instance_uids)


def modalities_of(card: ModelCard) -> frozenset[str]:
    """Return the modalities that a pipeline reads."""
    return XRAY_MODALITIES if isinstance(card.input, XRayInput) else frozenset({"CT"})


def plausibility(stack: Stack, card: ModelCard) -> tuple[int, ...]:
    """Order stacks that do not fit by how near they come to what is read; the greatest is what a person means."""
    if isinstance(card.input, XRayInput):
        return xray_selection.likeness_to_chest(stack, card.input)
    return ct_selection.likeness_to_chest(stack)


def selection_hash(
    instances: Sequence[InstanceHeader], pixel_sha256: Mapping[str, str], header_keywords: Sequence[str]
) -> str:
    """Return the SHA-256 of all that can change a result: which instances, their pixels, geometry and attributes.

    Parameters
    ----------
    instances : sequence of InstanceHeader
        In order.
    pixel_sha256 : Mapping[str, str]
        By SOP Instance UID.
    header_keywords : sequence of str
        Of the pipeline's card.
    """
    digest = hashlib.sha256()
    for instance in instances:
        values = (
            instance.sop_instance_uid,
            pixel_sha256[instance.sop_instance_uid],
            instance.image_position_patient,
            instance.image_orientation_patient,
            instance.pixel_spacing,
            instance.rescale_slope,
            instance.rescale_intercept,
            header_values(instance, header_keywords),
        )
        digest.update(repr(values).encode())
    return digest.hexdigest()


def header_values(instance: InstanceHeader, keywords: Sequence[str]) -> tuple[object, ...]:
    """Return the values of attributes, given by their DICOM keywords."""
    return tuple(getattr(instance, field_of(keyword)) for keyword in keywords)


def _with_rejected(choice: Choice) -> Choice:
    """Tell of images that a key object took out of a stack: a gap in it may be theirs."""
    count, stack = choice.stack.rejected_beside, choice.stack
    if not count:
        return choice
    verb = "is" if count == 1 else "are"
    told = f"{count} of {count + len(stack.instances)} images {verb} rejected by a key object."
    if choice.refusal is None:
        return replace(choice, reason=f"{choice.reason} {told}")
    return refused(stack, replace(choice.refusal, reason=f"{choice.refusal.reason} {told}"))


_REJECTED = Refusal(
    code="rejected",
    reason="A key object of the study rejects the image.",
    remedy="If it is to be read after all, send it with a new SOP Instance UID.",
)
