"""What viewers are shown: a study of a phantom, what was found on it, and the objects that say so."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_out.build import ResultObject, build
from dicom_out.context import ResultContext, ResultKind
from dicom_out.notice import notice
from inference import registry, selected
from inference.findings import Algorithm, Findings, Refusal
from inference.radiograph import Radiograph
from inference.selected import Selected

_CREATED_AT = datetime(2026, 1, 2, 12, tzinfo=UTC)
_LUNG_WINDOW = (-600.0, 1500.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """A study as a PACS holds it once its results came back.

    Attributes
    ----------
    sources, results : tuple of Path
        Files as the scanner and as the node send them.
    source : Series or Radiograph
        What the pipeline saw.
    findings : Findings
        What is to be seen: the truth that the viewer is held to.
    objects : tuple of ResultObject
        What is to show it.
    is_planted : bool
        Whether weights made for tests said it, so that no picture of it may pass for a result of the pipeline.
    """

    sources: tuple[Path, ...]
    results: tuple[Path, ...]
    source: Selected
    findings: Findings
    objects: tuple[ResultObject, ...]
    is_planted: bool = False

    @property
    def study_instance_uid(self) -> str:
        return str(self.source.headers[0].StudyInstanceUID)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        _, rows, columns = self.source.pixel_array.shape
        return rows, columns

    @property
    def corners(self) -> tuple[NDArray[np.float64], ...]:
        """In mm, the centres of the first pixel, the last of the first row and the last of the first column."""
        geometry = self.source.geometry
        (_, rows_mm, columns_mm), (rows, columns) = geometry.spacing_mm, self.size
        first = np.asarray(geometry.origin_mm)
        along_row, along_column = np.asarray(geometry.row_direction), np.asarray(geometry.column_direction)
        return first, first + along_row * columns_mm * (columns - 1), first + along_column * rows_mm * (rows - 1)

    def displayed(self, plane: int) -> NDArray[np.floating]:
        """Return a source image as a display shows it: 0 is black, 1 is white."""
        pixels = np.asarray(self.source.pixel_array[plane], dtype=np.float64)
        if isinstance(self.source, Radiograph):
            return pixels
        centre, width = _LUNG_WINDOW
        return ((pixels - centre) / width + 0.5).clip(0, 1)

    def of(self, kind: ResultKind) -> list[Dataset]:
        """Return the objects of a kind."""
        return [item.dataset for item in self.objects if item.kind == kind]


def of_pipeline(
    folder: Path,
    sources: Sequence[Path],
    pipeline: str,
    *,
    maps: Collection[ResultKind] = (),
    planted: Path | None = None,
) -> Exhibit:
    """Run a pipeline on a phantom's files, as the worker does, and write what it found beside them.

    Parameters
    ----------
    planted
        Folder of weights made for tests; without it the pipeline has those that come with the program.
    """
    source = selected.load(registry.CARDS[pipeline], sources)
    runner = registry.load(pipeline, weights=planted or folder)
    assert runner.accepts(source) is None
    made = of_findings(folder, sources, source, runner(source, "cpu"), maps=maps)
    return replace(made, is_planted=planted is not None)


def of_findings(
    folder: Path, sources: Sequence[Path], source: Selected, found: Findings, *, maps: Collection[ResultKind] = ()
) -> Exhibit:
    """Write findings as objects."""
    objects = build(found, source, _context(found.algorithm.name), maps=maps)
    return _written(folder, sources, source, found, objects)


def of_refusal(folder: Path, sources: Sequence[Path], pipeline: str, refusal: Refusal) -> Exhibit:
    """Write what the node writes where a pipeline did not run."""
    card = registry.CARDS[pipeline]
    source = selected.load(card, sources)
    nothing = Findings(algorithm=Algorithm(name=card.name, version="0"), source_instances=source.sop_instance_uids)
    return _written(folder, sources, source, nothing, (notice(refusal, source.headers, _context(pipeline), card),))


def _context(pipeline: str) -> ResultContext:
    return ResultContext(pipeline=pipeline, selection_hash="a" * 64, created_at=_CREATED_AT)


def _written(
    folder: Path, sources: Sequence[Path], source: Selected, found: Findings, objects: tuple[ResultObject, ...]
) -> Exhibit:
    results = tuple(folder / f"{item.kind}-{item.index}.dcm" for item in objects)
    for path, item in zip(results, objects, strict=True):
        path.write_bytes(b"".join(item.file()))
    return Exhibit(sources=tuple(sources), results=results, source=source, findings=found, objects=objects)
