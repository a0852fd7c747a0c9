"""An image beside itself with outlines: truth solid, the pipeline's dashed, so that print shows both."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.boxes import Box, filled
from evaluation.judging import Masks
from evaluation.overlap import Mask
from inference.radiograph import Radiograph
from inference.selected import Selected

TRUTH_COLOUR, FOUND_COLOUR = "#00a884", "#ff7a1a"
_SIZE = 440
"""Pixels of the longer side."""
_WINDOW_HU = (-1350.0, 150.0)
_DASH = 6
_GAP = 6
_PAPER = 255

Picture = NDArray[np.uint8]


def picture(
    source: Selected, masks: Masks | None, boxes: Sequence[Box] | None, found_boxes: Sequence[Box] | None
) -> bytes:
    """Return a PNG of the image, and of the image with outlines; of a stack, of the slice where they differ most."""
    slices, shape = len(source.pixel_array), source.pixel_array.shape[1:]
    truth = masks.all_truth if masks is not None else None
    found = masks.all_found if masks is not None else None
    index = 0 if slices == 1 else _telling(slices, truth, found)
    lines = [
        (TRUTH_COLOUR, False, [*_plane(truth, index), *_rectangles(boxes, shape)]),
        (FOUND_COLOUR, True, [*_plane(found, index), *_rectangles(found_boxes, shape)]),
    ]
    gray = _sized(_upright(source, _gray(source, index)), smooth=True)
    plain = np.repeat(gray[..., np.newaxis], 3, axis=-1)
    drawn = plain.copy()
    for colour, is_dashed, areas in lines:
        for area in areas:
            _draw(drawn, _sized(_upright(source, area)) > 0, colour, is_dashed=is_dashed)
    gap = np.full((len(plain), _GAP, 3), _PAPER, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.concatenate([plain, gap, drawn], axis=1)).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _gray(source: Selected, index: int) -> Picture:
    if isinstance(source, Radiograph):
        values = source.pixel_array[0]
    else:
        low, high = _WINDOW_HU
        values = ((source.pixel_array[index].astype(np.float32) - low) / (high - low)).clip(0, 1)
    gray: Picture = np.rint(values * 255).astype(np.uint8)
    return gray


def _upright(source: Selected, plane: Picture) -> Picture:
    return np.ascontiguousarray(source.upright.turn(plane)) if isinstance(source, Radiograph) else plane


def _telling(slices: int, truth: Mask | None, found: Mask | None) -> int:
    known = [mask for mask in (truth, found) if mask is not None]
    if not known:
        return slices // 2
    differing = known[0] ^ known[-1] if len(known) == 2 else known[0]
    areas = np.count_nonzero(differing if differing.any() else known[0], axis=(1, 2))
    return int(areas.argmax()) if areas.any() else slices // 2


def _plane(mask: Mask | None, index: int) -> list[Picture]:
    return [] if mask is None else [mask[index].astype(np.uint8) * np.uint8(255)]


def _rectangles(boxes: Sequence[Box] | None, shape: tuple[int, ...]) -> list[Picture]:
    rows, columns = shape
    return [filled([box], (rows, columns)).astype(np.uint8) * np.uint8(255) for box in boxes or ()]


def _sized(plane: Picture, *, smooth: bool = False) -> Picture:
    rows, columns = plane.shape
    scale = _SIZE / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    how = Image.Resampling.BOX if smooth and scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(plane).resize(size, how))


def _draw(onto: Picture, area: Mask, colour: str, *, is_dashed: bool) -> None:
    """Draw the edge of an area, two pixels wide."""
    from scipy import ndimage

    edge = area & ~ndimage.binary_erosion(area, structure=np.ones((3, 3)), iterations=2)
    if is_dashed:
        rows, columns = np.indices(area.shape)
        edge &= (rows + columns) // _DASH % 2 == 0
    onto[edge] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
