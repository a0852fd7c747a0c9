"""The model card: what a pipeline is for, what it reads and says, and how far it can be trusted.

A card is light to import, so that rules, status pages and result writers can read it without loading a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class KernelPreference(StrEnum):
    """Which reconstruction a CT pipeline measures best on."""

    SOFT = "soft"
    SHARP = "sharp"
    ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class CTInput:
    """What a CT pipeline reads.

    Attributes
    ----------
    thickness_mm : tuple of 2 float
        Slice thickness that the pipeline was made for, lowest and highest, in mm.
    kernel : KernelPreference
        Of two stacks that fit otherwise, the one that runs.
    min_coverage_mm : float
        Least extent along the body, in mm.
    header_keywords : tuple of str
        Attributes beside geometry and pixels whose values change the result.
    """

    thickness_mm: tuple[float, float] = (0.3, 5.0)
    kernel: KernelPreference = KernelPreference.ANY
    min_coverage_mm: float = 150.0
    header_keywords: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class XRayInput:
    """What an X-ray pipeline reads: one frontal image of the chest.

    Attributes
    ----------
    view_positions : tuple of str
        View Position (0018,5101) of images that it reads; an image without one is judged by the pipeline.
    min_size : tuple of 2 int
        Least number of rows and columns.
    header_keywords : tuple of str
        Attributes beside geometry and pixels whose values change the result.
    """

    view_positions: tuple[str, ...] = ("PA", "AP")
    min_size: tuple[int, int] = (256, 256)
    header_keywords: tuple[str, ...] = ("PhotometricInterpretation", "PatientOrientation")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What must be known of a pipeline before its numbers are read.

    Attributes
    ----------
    name, version : str
        As written into every result.
    title : str
        One line for people.
    purpose, output : str
        What it is for; what it says, in which units.
    input : CTInput or XRayInput
        What it reads.
    parameters : Mapping[str, str]
        Default settings.
    limits : tuple of str
        Where it must not be trusted.
    references : tuple of str
        Sources of method and thresholds.
    licence : str
        Of code and weights.
    weights : tuple of str
        Names of the weights it can use, as in `inference.weights`; empty where it needs none.
    """

    name: str
    version: str
    title: str
    purpose: str
    output: str
    input: CTInput | XRayInput
    parameters: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    weights: tuple[str, ...] = ()
