"""The vocabulary between pipelines and DICOM writers: what one run on one series or image found.

Pipelines make these records, `dicom_out` writes them, nothing else knows both. The module imports neither torch nor
anything of the network or database. Arrays lie on the grid of the source images, first axis in the order of the
source instances.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inference.coding import Code

if TYPE_CHECKING:  # it says why data do not fit in words of this module
    from inference.geometry import Geometry


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why data does not fit; never retried, and told to a person.

    Attributes
    ----------
    code : str
        Stable, kebab-case name of the reason, such as ``"gap-in-stack"``.
    reason : str
        One sentence with the numbers that led to it.
    remedy : str
        What a person can do about it.
    """

    code: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}".strip()


class SelectionRefusedError(Exception):
    """The selected images cannot be read, or hold nothing that the pipeline could work on."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """What computed a result, written as TID 4019 and as an item of Contributing Equipment Sequence (0018,A001).

    Attributes
    ----------
    name, version : str
        Of the pipeline.
    weights_sha256 : str or None
        SHA-256 over all weights used, hexadecimal; None where the algorithm has no weights.
    parameters : Mapping[str, str]
        Every setting that can change the result, in a fixed order.
    decisions : Mapping[str, str]
        What it decided on these images and by which numbers, in its order, where it goes by steps. Written with the
        parameters in reports; no part of what tells one model from another.
    """

    name: str
    version: str
    weights_sha256: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """An anatomical location.

    Attributes
    ----------
    location : Code
        CID 4031 or 6142, such as (39607008, SCT, "Lung").
    laterality : Code or None
        CID 244.
    """

    location: Code
    laterality: Code | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A number with its unit, written as a NUM of TID 300.

    Attributes
    ----------
    concept : Code
        What was measured.
    value : float
        Finite.
    unit : Code
        UCUM.
    site : Site or None
        Where, if it differs from the site of the group that holds the measurement.
    """

    concept: Code
    value: float
    unit: Code
    site: Site | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A coded answer, written as a CODE in TID 1501 or 1410.

    Attributes
    ----------
    concept, value : Code
        The question and the answer.
    confidence : float or None
        In [0, 1]; not calibrated unless the model card says so.
    """

    concept: Code
    value: Code
    confidence: float | None = None


class Purpose(StrEnum):
    """Which regions belong together in one SEG."""

    LUNGS = "lungs"
    OPACITY = "opacity"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Region:
    """A labelled part of the images, written as a SEG segment and a TID 1411 (CT) or 1410 (CXR) group.

    Attributes
    ----------
    label : str
        For people and for tracking: unique within the findings, the same from run to run ("right lung").
    purpose : Purpose
        Regions of one purpose share a SEG.
    property_category, property_type : Code
        CID 7150 and CID 7151 and their children.
    mask : ndarray of bool, shape (n, rows, columns)
        On the grid of the source images, first axis in the order of `Findings.source_instances`.
    site : Site or None
        Finding site.
    measurements : tuple of Measurement
        About this region; the first is its headline.
    tracking_uid : str or None
        Where the region continues one of an earlier run; None lets the writer derive it from study and label.
    """

    label: str
    purpose: Purpose
    property_category: Code
    property_type: Code
    mask: NDArray[np.bool_]
    site: Site | None = None
    measurements: tuple[Measurement, ...] = ()
    tracking_uid: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle round something on a radiograph, written as a TID 1410 group with a closed line.

    Attributes
    ----------
    label : str
        For people: unique within the findings ("box 1").
    finding : Code
        What is in it.
    left, top, right, bottom : float
        Its edges on the stored pixels, from the upper left corner of the first one (PS3.3 C.18.6.1.2).
    certainty : float
        In [0, 1]; no probability.
    site : Site or None
        Finding site.
    """

    label: str
    finding: Code
    left: float
    top: float
    right: float
    bottom: float
    certainty: float
    site: Site | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Heatmap:
    """A quantity at every place, written as a Parametric Map or a grayscale Secondary Capture with real-world values.

    Attributes
    ----------
    label : str
        For people: unique within the findings ("local opacity").
    quantity, unit : Code
        What the values are; UCUM.
    values : ndarray of float32, shape (slices, rows, columns)
        Finite, on `grid`; one slice for a radiograph.
    grid : Geometry
        Where the values lie, in the frame of reference of the source; a network's own grid, as a rule. `dicom_out`
        resamples it onto that of the source.
    value_range : tuple of 2 float
        The lowest and the highest value there can be; the lowest is that of what lies outside `grid`.
    purpose : Purpose or None
        Which regions it goes with; the key image of a radiograph shows a map of opacity.
    """

    label: str
    quantity: Code
    unit: Code
    values: NDArray[np.float32]
    grid: "Geometry"
    value_range: tuple[float, float] = (0.0, 1.0)
    purpose: Purpose | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """All that one run of one pipeline found in one selection.

    Attributes
    ----------
    algorithm : Algorithm
        What ran.
    source_instances : tuple of str
        SOP Instance UIDs, in the order of the first axis of every mask.
    measurements : tuple of Measurement
        About the whole series or image (TID 1501).
    headlines : int
        How many of them, from the first on, stand where viewers list numbers.
    categories : tuple of Category
        About the whole series or image.
    regions : tuple of Region
        In the order in which they are to be listed.
    heatmaps : tuple of Heatmap
        In the order in which they are to be listed.
    boxes : tuple of Box or None
        In the order in which they are to be listed, of a radiograph; None where the pipeline looks for none.
    warnings : tuple of str
        Sentences a reader must see beside the numbers.
    """

    algorithm: Algorithm
    source_instances: tuple[str, ...]
    measurements: tuple[Measurement, ...] = ()
    headlines: int = 1
    categories: tuple[Category, ...] = ()
    regions: tuple[Region, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    boxes: tuple[Box, ...] | None = None
    warnings: tuple[str, ...] = ()
