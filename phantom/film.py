"""From path lengths to what a detector and its processing make of them: scatter, noise, tone curve, letter.

References
----------
Beer-Lambert law; scatter as a broad blur of the primary image; display values as DX "for presentation" gives them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from phantom.thorax import Floats

_WATER_PER_MM = 0.0195  # at the mean energy behind a patient, about 65 keV
_SCATTER_SHARE, _SCATTER_MM, _EQUALISED_MM = 0.9, 35.0, 22.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Processing:
    """How a room's system shows films.

    Attributes
    ----------
    equalisation : float
        Share of slow changes of density that is taken out, so that lungs and mediastinum are both seen.
    sharpening : float
        Share of the finest structures that is added.
    noise : float
        Relative, of an unattenuated beam.
    lung, middle : float
        Display value, of 1, that lungs and the middle of the body get.
    """

    equalisation: float = 0.3
    sharpening: float = 0.4
    noise: float = 0.004
    lung: float = 0.3
    middle: float = 0.82


def develop(
    water_mm: Floats,
    lungs: NDArray[np.bool_],
    *,
    spacing_mm: float,
    processing: Processing,
    random: np.random.Generator,
) -> Floats:
    """Make display values of path lengths.

    Parameters
    ----------
    water_mm : ndarray of float32, shape (rows, columns)
        Millimetres of water that would attenuate as much.
    lungs : ndarray of bool, same shape
        Where the lungs are: the tone curve is set by them, as an exposure is.
    spacing_mm : float
        Of the pixels.
    processing : Processing
        Of the room.
    random : numpy.random.Generator
        Of the noise.

    Returns
    -------
    ndarray of float32
        In [0, 1], bright is dense.
    """
    primary = np.exp(-np.float32(_WATER_PER_MM) * np.maximum(water_mm, 0))
    detected = primary + np.float32(_SCATTER_SHARE) * _slow(primary * (water_mm > 1), _SCATTER_MM / spacing_mm)
    grain = gaussian_filter(random.standard_normal(primary.shape, dtype=np.float32), 0.6)
    detected *= 1 + np.float32(processing.noise) * grain / np.sqrt(detected)
    density = -np.log(np.maximum(detected, 1e-4))
    slow, fine = _slow(density, _EQUALISED_MM / spacing_mm), density - gaussian_filter(density, 1.2 / spacing_mm)
    density += np.float32(processing.sharpening) * fine - np.float32(processing.equalisation) * slow
    return _tone(density, lungs, processing)


def add_letter(display: Floats, letter: str, *, spacing_mm: float) -> None:
    """Put a lead letter into the upper corner of the patient's side that it names, in place."""
    height = max(round(14 / spacing_mm), 8)
    margin = round(12 / spacing_mm)
    picture = Image.new("L", (2 * height, 2 * height))
    ImageDraw.Draw(picture).text((height, height), letter, fill=255, font=ImageFont.load_default(height), anchor="mm")
    lead = np.asarray(picture.crop(picture.getbbox()), dtype=np.float32) / 255
    left = margin if letter == "R" else display.shape[1] - margin - lead.shape[1]
    corner = display[margin : margin + lead.shape[0], left : left + lead.shape[1]]
    np.maximum(corner, lead[: corner.shape[0], : corner.shape[1]], out=corner)


def _slow(image: Floats, sigma: float) -> Floats:
    """Blur broadly, on a coarse copy of the image."""
    factor = max(int(sigma / 4), 1)
    coarse = np.asarray(Image.fromarray(image).reduce(factor))
    size = image.shape[1], image.shape[0]
    return np.asarray(Image.fromarray(gaussian_filter(coarse, sigma / factor)).resize(size, Image.Resampling.BILINEAR))


def _tone(density: Floats, lungs: NDArray[np.bool_], processing: Processing) -> Floats:
    """Map linearly between lungs and middle, ever less beyond them."""
    low = np.median(density[lungs]) if lungs.any() else np.percentile(density, 30)
    high = np.percentile(density, 92)
    gain = (processing.middle - processing.lung) / max(float(high - low), 1e-3)
    display = processing.lung + np.float32(gain) * (density - np.float32(low))
    return np.asarray(0.5 + 0.5 * np.tanh(2.2 * (display - 0.5)) / np.tanh(1.1), dtype=np.float32).clip(0, 1)
