"""Findings -> DICOM objects: all of a result, cross-referenced, in the order in which they are sent.

Pure: the same findings, images and context give objects whose bytes are the same.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from dicom_out.context import ResultContext, ResultKind, Run
from dicom_out.key_image import key_image
from dicom_out.marks import marks
from dicom_out.parametric_map import Frames, coarse_map, source_grid_map
from dicom_out.part10 import deflated, encode, fits
from dicom_out.seg import segmentations
from dicom_out.sr import report
from dicom_out.study import references
from dicom_out.word_map import word_map
from inference.findings import Findings, Heatmap
from inference.radiograph import Radiograph
from inference.selected import Selected

__all__ = ["ResultContext", "ResultKind", "ResultObject", "build", "encode"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ResultObject:
    """One object of a result.

    Attributes
    ----------
    kind : ResultKind
        What it is.
    index : int
        From 1 within its kind.
    dataset : Dataset
        Complete, but for the pixel data of a map.
    frames : Frames or None
        Those of a map, made while it is written.
    """

    kind: ResultKind
    index: int
    dataset: Dataset
    frames: Frames | None = None

    def file(self) -> Iterator[bytes]:
        """Yield its DICOM file in parts: a map deflated, all else in Explicit VR Little Endian."""
        if self.frames is None:
            yield encode(self.dataset)
        else:
            yield from deflated(self.dataset, self.frames, self.frames.size)


def build(
    findings: Findings,
    source: Selected,
    context: ResultContext,
    *,
    demographics: Dataset | None = None,
    maps: Collection[ResultKind] = (),
) -> tuple[ResultObject, ...]:
    """Write all objects of a result.

    Parameters
    ----------
    findings : Findings
        Of one run on the source; every mask lies on its grid.
    source : Series or Radiograph
        What the pipeline saw.
    context : ResultContext
        The job.
    demographics : Dataset or None
        Header of the source instance whose patient and study attributes are right; None takes the first.
    maps : collection of ResultKind
        Which of `MAP` and `COARSE_MAP` to write of each heatmap; a radiograph has one only. Where no object can hold
        a `MAP` of so many slices, the report says so, and there is a `COARSE_MAP`.

    Returns
    -------
    tuple of ResultObject
        Segmentations, report, maps, key image: an object comes after those it refers to, the picture last.

    Raises
    ------
    ValueError
        If findings and source do not belong together, or two regions have one label.
    """
    _check(findings, source)
    findings, maps = _with_maps_that_fit(findings, source, maps)
    first = source.headers[0]
    run = Run(
        source=first,
        demographics=demographics or first,
        context=context,
        algorithm=findings.algorithm,
        is_projection=isinstance(source, Radiograph),
    )
    images = references(source)
    drawn = marks(findings.regions, run.study_instance_uid)
    segs, segments = segmentations(drawn, images, run)
    objects = [ResultObject(kind=ResultKind.SEG, index=i, dataset=seg) for i, seg in enumerate(segs, start=1)]
    document = report(findings, drawn, segments, images, run)
    objects.append(ResultObject(kind=ResultKind.SR, index=1, dataset=document))
    if maps:
        objects += _maps(findings.heatmaps, source, images, run, maps)
    objects.append(ResultObject(kind=ResultKind.KEY_IMAGE, index=1, dataset=key_image(findings, drawn, source, run)))
    return tuple(objects)


def _with_maps_that_fit(
    findings: Findings, source: Selected, maps: Collection[ResultKind]
) -> tuple[Findings, Collection[ResultKind]]:
    """Return what is to be written, with a warning in place of maps that are too large."""
    if isinstance(source, Radiograph) or not findings.heatmaps or ResultKind.MAP not in maps:
        return findings, maps
    shape = source.pixel_array.shape
    if fits(Frames.size_of(shape)):
        return findings, maps
    slices, rows, columns = shape
    warning = (
        f"On the {slices} x {rows} x {columns} voxels of the images the map is too large for an object; "
        "there is only a coarse one"
    )
    return replace(findings, warnings=(*findings.warnings, warning)), (ResultKind.COARSE_MAP,)


def _maps(
    heatmaps: Sequence[Heatmap], source: Selected, images: Sequence[Dataset], run: Run, kinds: Collection[ResultKind]
) -> Iterator[ResultObject]:
    for index, heatmap in enumerate(heatmaps, start=1):
        if isinstance(source, Radiograph) and not source.has_pixel_spacing:
            dataset = word_map(heatmap, source, images[0], run, index)
            yield ResultObject(kind=ResultKind.MAP, index=index, dataset=dataset)
            continue
        if ResultKind.MAP in kinds or isinstance(source, Radiograph):
            written = source_grid_map(heatmap, source, images, run, index)
            yield ResultObject(kind=ResultKind.MAP, index=index, dataset=written.dataset, frames=written.frames)
        if ResultKind.COARSE_MAP in kinds and not isinstance(source, Radiograph):
            written = coarse_map(heatmap, images, run, index)
            yield ResultObject(kind=ResultKind.COARSE_MAP, index=index, dataset=written.dataset, frames=written.frames)


def _check(findings: Findings, source: Selected) -> None:
    if findings.source_instances != source.sop_instance_uids:
        raise ValueError("The source instances of the findings are not those of the images.")
    labels = [region.label for region in findings.regions]
    if len(set(labels)) != len(labels):
        raise ValueError(f"Two regions have one label: {labels}.")
    if findings.boxes and not isinstance(source, Radiograph):
        raise ValueError("Boxes are of a radiograph.")
    for region in findings.regions:
        if region.mask.shape != source.pixel_array.shape or region.mask.dtype != bool:
            raise ValueError(f"The mask of {region.label!r} is not of bool on the grid of the images.")
