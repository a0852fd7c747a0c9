"""Heatmaps as Parametric Maps, Float32: on the grid of the source for viewers, or on their own as data.

OHIF 3.13 copies the values of a map onto the source and looks at no geometry: only a map with the rows and columns of
the source, every slice of it, ascending, is drawn in the right place. Any other is valid, and says that it is not for
that. A radiograph has a frame of reference and a plane that this project gave it: the object needs one (PS3.3 A.75).

References
----------
PS3.3 A.75 Parametric Map IOD, C.8.32 Parametric Map Image.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import ParametricMapStorage

from dicom_out import codes
from dicom_out.coded import code_item
from dicom_out.context import ResultKind, Run
from dicom_out.map_content import (
    content_description,
    content_label,
    real_world_values,
    set_lossiness,
    source_image,
)
from dicom_out.product import RESEARCH_NOTICE
from dicom_out.resampling import resampled
from dicom_out.study import stamp
from inference.findings import Heatmap
from inference.geometry import Geometry
from inference.radiograph import Radiograph
from inference.selected import Selected

COARSE_MM = 2.0
"""About the smallest voxels of a coarse map: of a finer heatmap it holds every second value, or fewer."""
_IMAGE_TYPE = ("DERIVED", "PRIMARY", "VOLUME", "NONE")
_SYNTHETIC = "Synthetic frame of reference, not anatomical"
_NO_OVERLAY = "Not for overlay in viewers that ignore geometry"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatMap:
    """A Parametric Map, its values apart.

    Attributes
    ----------
    dataset : Dataset
        All but Float Pixel Data (7FE0,0008).
    frames : Frames
        Float Pixel Data, ascending.
    """

    dataset: Dataset
    frames: "Frames"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frames:
    """The values of a map on a grid, made when they are written and as often.

    Attributes
    ----------
    heatmap : Heatmap
        Whose values they are.
    geometry : Geometry
        The grid.
    shape : tuple of 3 int
        Its slices, rows and columns.
    """

    heatmap: Heatmap
    geometry: Geometry
    shape: tuple[int, ...]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return resampled(self.heatmap, self.geometry, self.shape)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.size_of(self.shape)

    @staticmethod
    def size_of(shape: tuple[int, ...]) -> int:
        """Return the number of bytes of frames of a shape."""
        return int(np.prod(shape)) * np.dtype(np.float32).itemsize


def source_grid_map(heatmap: Heatmap, source: Selected, images: Sequence[Dataset], run: Run, index: int) -> FloatMap:
    """Write a heatmap on the grid of the source, with the source's own positions, to the digit.

    Parameters
    ----------
    heatmap : Heatmap
        On any grid along the axes of the source.
    source : Series or Radiograph
        The images; a radiograph must have Pixel Spacing.
    images : sequence of Dataset
        `study.references` of the source.
    run : Run
        What the object belongs to.
    index : int
        Of the heatmap, from 1.
    """
    frames = Frames(heatmap=heatmap, geometry=source.geometry, shape=source.pixel_array.shape)
    warning = _SYNTHETIC if isinstance(source, Radiograph) else None
    dataset = _dataset(frames, images, run, warning)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    measures, orientation = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
    for item, keyword in (
        (measures, "PixelSpacing"),
        (measures, "SliceThickness"),
        (orientation, "ImageOrientationPatient"),
    ):
        item[keyword] = deepcopy(images[0][keyword])
    for group, image in zip(dataset.PerFrameFunctionalGroupsSequence, images, strict=True):
        group.PlanePositionSequence[0]["ImagePositionPatient"] = deepcopy(image["ImagePositionPatient"])
        group.DerivationImageSequence = [_derivation([image], in_place=True)]
    description = run.context.series_description(f"{heatmap.label} map: {run.algorithm.name}")
    stamp(dataset, run, ResultKind.MAP, index, description)
    _own_dimensions(dataset, str(run.instance_uid(ResultKind.MAP, index, "dimension organization")))
    return FloatMap(dataset=dataset, frames=frames)


def coarse_map(heatmap: Heatmap, images: Sequence[Dataset], run: Run, index: int) -> FloatMap:
    """Write a heatmap on its own grid, thinned out where that is much finer than `COARSE_MM`; parameters as above."""
    geometry, shape = _coarse(heatmap)
    frames = Frames(heatmap=heatmap, geometry=geometry, shape=shape)
    dataset = _dataset(frames, images, run, _NO_OVERLAY)
    dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence = [_derivation(images, in_place=False)]
    description = run.context.series_description(f"{heatmap.label} coarse map: {run.algorithm.name}")
    stamp(dataset, run, ResultKind.COARSE_MAP, index, description)
    _own_dimensions(dataset, str(run.instance_uid(ResultKind.COARSE_MAP, index, "dimension organization")))
    return FloatMap(dataset=dataset, frames=frames)


def _coarse(heatmap: Heatmap) -> tuple[Geometry, tuple[int, ...]]:
    """Return a grid of some of the heatmap's voxels, whose slices ascend as frames of an image do."""
    grid, sizes = heatmap.grid, np.array(heatmap.values.shape)
    steps = np.maximum(1, np.round(COARSE_MM / np.array(grid.spacing_mm)).astype(int))
    shape = -(-sizes // steps)
    spacing_mm = steps * grid.spacing_mm
    origin, direction = np.array(grid.origin_mm), np.array(grid.slice_direction)
    if direction @ np.cross(grid.row_direction, grid.column_direction) < 0:
        origin, direction = origin + (shape[0] - 1) * spacing_mm[0] * direction, -direction
    geometry = replace(
        grid,
        origin_mm=_triple(origin),
        slice_direction=_triple(direction),
        spacing_mm=_triple(spacing_mm),
    )
    return geometry, tuple(int(size) for size in shape)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _dataset(frames: Frames, images: Sequence[Dataset], run: Run, warning: str | None) -> Dataset:
    """Return a map without what tells one kind from the other; its geometry is written in decimals."""
    heatmap = frames.heatmap
    dataset = Dataset()
    dataset.SOPClassUID = ParametricMapStorage
    dataset.Modality = "OT"
    dataset.ImageType = list(_IMAGE_TYPE)
    dataset.PixelPresentation = "MONOCHROME"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.ContentLabel = content_label(heatmap)
    dataset.ContentDescription = content_description(heatmap, warning)
    dataset.ContentCreatorName = None
    dataset.ContentQualification = "RESEARCH"
    dataset.BurnedInAnnotation = dataset.RecognizableVisualFeatures = "NO"
    dataset.AcquisitionContextSequence = []
    set_lossiness(dataset, run.source)
    dataset.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    dataset.PositionReferenceIndicator = run.source.get("PositionReferenceIndicator")
    dataset.ReferencedSeriesSequence = [_referenced_series(images)]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.BitsAllocated = 32
    dataset.SharedFunctionalGroupsSequence = [_shared_groups(frames)]
    dataset.PerFrameFunctionalGroupsSequence = [_frame_groups(frames, number) for number in range(frames.shape[0])]
    return dataset


def _shared_groups(frames: Frames) -> Dataset:
    heatmap, geometry = frames.heatmap, frames.geometry
    slices_mm, rows_mm, columns_mm = geometry.spacing_mm
    groups = Dataset()
    groups.PixelMeasuresSequence = [
        _item(
            PixelSpacing=_decimals((rows_mm, columns_mm)),
            SliceThickness=_decimals((slices_mm,)),
            SpacingBetweenSlices=_decimals((slices_mm,)),
        )
    ]
    orientation = _decimals((*geometry.row_direction, *geometry.column_direction))
    groups.PlaneOrientationSequence = [_item(ImageOrientationPatient=orientation)]
    low, high = heatmap.value_range
    groups.FrameVOILUTSequence = [
        _item(WindowCenter=_decimals(((low + high) / 2,)), WindowWidth=_decimals((high - low,)))
    ]
    groups.RealWorldValueMappingSequence = [real_world_values(heatmap)]
    groups.ParametricMapFrameTypeSequence = [_item(FrameType=list(_IMAGE_TYPE))]
    groups.PixelValueTransformationSequence = [_item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")]
    # dcmqi's reader ends without a word where this is absent.
    groups.FrameAnatomySequence = [_item(FrameLaterality="U", AnatomicRegionSequence=[code_item(codes.CHEST)])]
    return groups


def _frame_groups(frames: Frames, number: int) -> Dataset:
    geometry = frames.geometry
    position = np.add(geometry.origin_mm, number * geometry.spacing_mm[0] * np.array(geometry.slice_direction))
    groups = Dataset()
    groups.FrameContentSequence = [
        _item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[number + 1])
    ]
    groups.PlanePositionSequence = [_item(ImagePositionPatient=_decimals(position))]
    return groups


def _own_dimensions(dataset: Dataset, dimension_organization_uid: str) -> None:
    """Say in which order the frames are: by position."""
    dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=dimension_organization_uid)]
    if dataset.NumberOfFrames > 1:
        dataset.DimensionOrganizationType = "3D"
    dataset.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=dimension_organization_uid,
            DimensionIndexPointer=tag_for_keyword("ImagePositionPatient"),
            FunctionalGroupPointer=tag_for_keyword("PlanePositionSequence"),
            DimensionDescriptionLabel="Position",
        )
    ]


def _derivation(images: Sequence[Dataset], *, in_place: bool) -> Dataset:
    sources = [source_image(image) for image in images]
    for source in sources:
        source.SpatialLocationsPreserved = "YES" if in_place else "NO"
    return _item(
        DerivationDescription=RESEARCH_NOTICE,
        DerivationCodeSequence=[code_item(codes.SPATIAL_RESAMPLING)],
        SourceImageSequence=sources,
    )


def _referenced_series(images: Sequence[Dataset]) -> Dataset:
    return _item(
        SeriesInstanceUID=images[0].SeriesInstanceUID,
        ReferencedInstanceSequence=[
            _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)
            for image in images
        ],
    )


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _decimals(values: Iterable[float]) -> list[str]:
    """Return DS values, which have at most 16 characters (PS3.5 6.2)."""
    return [f"{float(value):.9g}" for value in values]
