"""A chest CT at 1.5 x 1.5 x 5 mm with its lungs, as the networks of COVID-19 look at it; made once for all of them.

Resampling and lung mask are those of the package `balaitous` 1.2 (MIT), which is the reference: linear, sizes truncated
to whole voxels, lungmask R231 on the result.

References
----------
Hofmanninger et al., Eur Radiol Exp 2020;4:50 (lungmask R231).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its documentation uses
from numpy.typing import NDArray

from inference.geometry import Geometry
from inference.series import Series
from inference.weights import Verified
from inference.working_grid import upright

Mask = NDArray[np.bool_]
SPACING_MM = (5.0, 1.5, 1.5)
RIGHT, LEFT = 1, 2
"""Labels of the lungs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ResampledCT:
    """The volume, upright: slices from feet to head, rows to the back, columns to the patient's left.

    Attributes
    ----------
    hounsfield : ndarray of int16 or float32, shape (slices, rows, columns)
        In Hounsfield units, of the type of the series.
    labels : ndarray of uint8, shape (slices, rows, columns)
        `RIGHT` and `LEFT` lung, 0 elsewhere, as R231 says.
    geometry : Geometry
        Of this grid, in the frame of reference of the series.
    source_shape : tuple of 3 int
        Of the series.
    source_geometry : Geometry
        Of the series.
    weights_sha256 : str
        Of R231.
    parameters : Mapping[str, str]
        For `Algorithm.parameters`.
    warnings : tuple of str
        For `Findings.warnings`.
    """

    hounsfield: NDArray[np.generic]
    labels: NDArray[np.uint8]
    geometry: Geometry
    source_shape: tuple[int, ...]
    source_geometry: Geometry
    weights_sha256: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_source(self, mask: Mask) -> Mask:
        """Draw a mask of this grid on that of the series.

        Parameters
        ----------
        mask : ndarray of bool, shape of `labels`
            Upright.

        Returns
        -------
        ndarray of bool, shape (slices, rows, columns) of the series
            Where linear interpolation says at least half.
        """
        image = sitk.GetImageFromArray(mask.view(np.uint8) * np.uint8(254))
        image.SetSpacing(SPACING_MM[::-1])
        shares = _resample(image, self.source_shape, self.source_geometry.spacing_mm)
        inside: Mask = np.greater_equal(shares, np.uint8(127))
        return upright(inside, self.source_geometry)

    def lungs_to_source(self, labels: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        """Draw right and left lung on the grid of the series; no voxel is of both.

        Parameters
        ----------
        labels : ndarray of uint8, shape of `labels`
            `RIGHT` and `LEFT`.
        """
        right, left = self.to_source(labels == RIGHT), self.to_source(labels == LEFT)
        return right, left & ~right


def resample(series: Series) -> tuple[NDArray[np.generic], Geometry]:
    """Return a series upright at `SPACING_MM`, and where it lies then."""
    source = series.geometry
    image = sitk.GetImageFromArray(np.ascontiguousarray(upright(series.pixel_array, source)))
    image.SetSpacing(source.spacing_mm[::-1])
    sizes = np.multiply(series.pixel_array.shape, source.spacing_mm) / SPACING_MM
    return _resample(image, tuple(sizes.astype(int).tolist()), SPACING_MM), _upright_geometry(series)


_made: "WeakKeyDictionary[Series, dict[tuple[str, str], ResampledCT]]" = WeakKeyDictionary()


def resampled_ct(series: Series, weights: Verified, *, device: str) -> ResampledCT:
    """Resample a series and find its lungs; for the same series a second time, return what was made the first time.

    Parameters
    ----------
    series : Series
        Axial chest CT.
    weights : Verified
        Of the slot `lungmask-r231`.
    device : str
        Torch device.
    """
    made, key = _made.setdefault(series, {}), (weights.sha256, device)
    if key not in made:
        from inference.networks.r231 import LungMask

        hounsfield, geometry = resample(series)
        network = LungMask(weights, device=device)
        made[key] = ResampledCT(
            hounsfield=hounsfield,
            labels=network(np.asarray(hounsfield)),
            geometry=geometry,
            source_shape=series.pixel_array.shape,
            source_geometry=series.geometry,
            weights_sha256=weights.sha256,
            parameters={"lung_mask": "lungmask R231 at 1.5 x 1.5 x 5 mm", **network.parameters},
            warnings=network.warnings,
        )
    return made[key]


def _resample(image: sitk.Image, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> NDArray[np.generic]:
    resampled = sitk.Resample(
        image,
        [int(size) for size in shape[::-1]],
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        [float(step) for step in spacing_mm[::-1]],
        image.GetDirection(),
        0.0,
        image.GetPixelID(),
    )
    array: NDArray[np.generic] = sitk.GetArrayFromImage(resampled)
    return array


def _upright_geometry(series: Series) -> Geometry:
    """Return the geometry of the resampled grid: it begins at the first voxel of the upright series."""
    source = series.geometry
    directions = np.array([source.slice_direction, source.column_direction, source.row_direction])
    signs = np.where(np.array([directions[0, 2], directions[1, 1], directions[2, 0]]) < 0, -1.0, 1.0)
    last = (np.array(series.pixel_array.shape) - 1) * source.spacing_mm
    origin = np.array(source.origin_mm) + np.where(signs < 0, last, 0.0) @ directions
    slices, columns, rows = (_triple(vector) for vector in directions * signs[:, np.newaxis])
    return replace(
        source,
        origin_mm=_triple(origin),
        slice_direction=slices,
        column_direction=columns,
        row_direction=rows,
        spacing_mm=SPACING_MM,
    )


def _triple(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z
