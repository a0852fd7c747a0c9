"""A folder of masks: which file is of which image and region, and its pixels on the image's own grid."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.overlap import Mask
from evaluation.truth.known import Kind, Known, Truth, TruthError, plain_name, slug
from inference.findings import Refusal, SelectionRefusedError
from inference.radiograph import Radiograph
from inference.selected import Selected
from inference.series import Series

_SUFFIXES = (".png", ".nii.gz", ".nii")
_WRITTEN_BY_RUN = "mask-"
_SAME_MM = 0.01


def read_folder(folder: Path, regions: Sequence[str]) -> Known:
    """Find out which mask is of which image.

    A file is called by its image; it is of one region where it lies in a folder of that region's name, or is called
    mask-REGION in a folder of the image's name, as `opacity-node run` writes it; else of all regions together.

    Raises
    ------
    TruthError
        If no masks are there, two are of one image and region, or some are of single regions and some of all.
    """
    slugs = {slug(region) for region in regions}
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.rglob("*")):
        if not path.name.lower().endswith(_SUFFIXES):
            continue
        for region, image in _meant(path.relative_to(folder), slugs):
            if region in found[image]:
                raise TruthError(
                    f"{found[image][region]} and {path} are masks of the same image; take one of them away"
                )
            found[image][region] = path
    _check(folder, found, regions)
    return Known(kind=Kind.MASKS, place=folder, of={image: Truth(masks=masks) for image, masks in found.items()})


def _meant(relative: Path, slugs: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the region and the image that a file is of; nothing where it is neither."""
    name, parents = plain_name(relative.name), relative.parts[:-1]
    if not parents:
        yield "", name
    elif len(parents) == 1 and parents[0] in slugs:
        yield parents[0], name
    elif len(parents) == 1 and name.removeprefix(_WRITTEN_BY_RUN) in slugs and name.startswith(_WRITTEN_BY_RUN):
        yield name.removeprefix(_WRITTEN_BY_RUN), parents[0]


def _check(folder: Path, found: Mapping[str, Mapping[str, Path]], regions: Sequence[str]) -> None:
    names = " or ".join(f"{slug(region)}/IMAGE.png" for region in regions) or "REGION/IMAGE.png"
    if not found:
        raise TruthError(
            f"{folder} holds no masks. Give IMAGE.png (or IMAGE.nii.gz for CT), where IMAGE is the SOP Instance UID or "
            f"the name of the image's file (of CT, the Series Instance UID), or {names} for single regions"
        )
    whole = next((masks[""] for masks in found.values() if "" in masks), None)
    single = next((path for masks in found.values() for region, path in masks.items() if region), None)
    if whole and single:
        raise TruthError(
            f"{folder} mixes masks of all regions together ({whole}) with masks of one region ({single}); "
            "give two folders, and evaluate with each"
        )


def read_mask(path: Path, source: Selected) -> Mask:
    """Return a mask on the grid of an image; whatever is not 0 belongs to the region.

    Raises
    ------
    SelectionRefusedError
        If it cannot be read, or is no mask of this image.
    """
    if isinstance(source, Radiograph):
        return _flat(path, source)[np.newaxis]
    return _volume(path, source)


def _flat(path: Path, source: Radiograph) -> Mask:
    from PIL import Image

    try:
        with Image.open(path) as image:
            channels = len(image.getbands()) - image.mode.endswith("A")  # how opaque a pixel is, it is no region
            values: NDArray[np.generic] = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise SelectionRefusedError(_unreadable(path, "a PNG")) from error
    mask: Mask = np.asarray(values[..., :channels].any(axis=-1) if values.ndim == 3 else values != 0)
    rows, columns = source.pixel_array.shape[1:]
    if mask.shape != (rows, columns):
        raise SelectionRefusedError(
            _mismatch(path, f"{mask.shape[0]} x {mask.shape[1]} pixels", f"{rows} x {columns}"),
        )
    return mask


def _volume(path: Path, source: Series) -> Mask:
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise SelectionRefusedError(_unreadable(path, "a NIfTI")) from error
    grid = source.geometry
    axes = np.array((grid.row_direction, grid.column_direction, grid.slice_direction), dtype=np.float64)
    reference = SimpleITK.Image([int(size) for size in source.pixel_array.shape[::-1]], SimpleITK.sitkUInt8)
    reference.SetOrigin([float(value) for value in grid.origin_mm])
    reference.SetSpacing([float(value) for value in grid.spacing_mm[::-1]])
    reference.SetDirection(axes.T.ravel().tolist())
    if image.GetDimension() != 3 or not _same_place(image, reference):
        raise SelectionRefusedError(
            _mismatch(path, " x ".join(map(str, image.GetSize())), " x ".join(map(str, reference.GetSize())))
        )
    placed = SimpleITK.Resample(image, reference, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0)
    mask: Mask = SimpleITK.GetArrayFromImage(placed) != 0
    return mask


def _same_place(image: "SimpleITK.Image", reference: "SimpleITK.Image") -> bool:  # type: ignore[name-defined]  # noqa: F821
    """Say whether two grids have the same voxels, in whatever order their axes run."""
    corners = []
    for grid in (image, reference):
        ends = [[(size - 1) * bit for size, bit in zip(grid.GetSize(), bits, strict=True)] for bits in _CORNERS]
        corners.append(np.array([grid.TransformIndexToPhysicalPoint(end) for end in ends]))
    if sorted(image.GetSize()) != sorted(reference.GetSize()):
        return False
    apart = np.linalg.norm(corners[0][:, np.newaxis] - corners[1][np.newaxis], axis=-1)
    return bool(apart.min(axis=1).max() < _SAME_MM)


_CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def _unreadable(path: Path, form: str) -> Refusal:
    return Refusal(
        code="unreadable-truth",
        reason=f"{path} cannot be read as {form} mask.",
        remedy="Save it again, as such a file.",
    )


def _mismatch(path: Path, own: str, wanted: str) -> Refusal:
    return Refusal(
        code="truth-of-other-size",
        reason=f"The mask {path} has {own}, the image {wanted}, or they lie in different places.",
        remedy="Give masks on the stored pixels of the image, not scaled, cropped or turned.",
    )
