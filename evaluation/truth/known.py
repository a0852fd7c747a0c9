"""The vocabulary of truth: what is known of one image, and of all of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath

from evaluation.boxes import Box

_IMAGE_SUFFIX = re.compile(r"(\.(dcm|dicom|ima|png|jpe?g|nii|nii\.gz))+$", re.IGNORECASE)


class TruthError(Exception):
    """The truth cannot be used; the message says what to do."""


class Kind(StrEnum):
    """What a truth says."""

    MASKS = "masks"
    LABELS = "labels"
    BOXES = "boxes"
    LEVELS = "levels"


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """What is known of one image.

    Attributes
    ----------
    label : int or None
        1 where what is looked for is there, else 0.
    level : int or None
        On an ordered scale.
    boxes : tuple of Box or None
        Empty where nothing is.
    masks : Mapping[str, Path]
        Files by region, as `slug` writes it; under "" one that is of all regions together.
    """

    label: int | None = None
    level: int | None = None
    boxes: tuple[Box, ...] | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of all images; `of` by what they are called."""

    kind: Kind
    place: Path
    of: Mapping[str, Truth]


def slug(label: str) -> str:
    """Return a region's label as files and folders are named by it: "right lung" is right-lung."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def plain_name(name: str) -> str:
    """Return what an image is called, without folder and ending; a UID, which has dots too, stays whole."""
    return _IMAGE_SUFFIX.sub("", PurePath(name.strip()).name)
