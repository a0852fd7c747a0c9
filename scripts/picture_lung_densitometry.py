"""Draw what lung-densitometry finds: axial and coronal slices with the lungs outlined and opacity tinted.

    .venv/bin/python scripts/picture_lung_densitometry.py docs/pipelines/lung-densitometry-phantom.png
    .venv/bin/python scripts/picture_lung_densitometry.py /tmp/ricord.png ../shared/data/ct/midrc_ricord_1a_001012

Without a folder of DICOM files it draws the phantom. Pictures of patients are never committed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inference import series
from inference.findings import Findings
from inference.pipelines.lung_densitometry import LungDensitometry
from phantom.dicom import write_study

_COLOURS = {"right lung": (255, 70, 70), "left lung": (70, 220, 90), "opacity": (255, 220, 0)}
_LOW_HU, _HIGH_HU = -1100, 300


def main() -> None:
    """Read the arguments, run the pipeline, write the picture, print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        loaded = series.load(sorted(folder.glob("*.dcm")) if arguments.folder else write_study(folder))
    findings = LungDensitometry(arguments.weights)(loaded, "cpu")
    Image.fromarray(_montage(loaded, findings)).save(arguments.picture)
    for label, measurements in [("both lungs", findings.measurements)] + [
        (region.label, region.measurements) for region in findings.regions
    ]:
        numbers = "; ".join(f"{m.concept.meaning}: {m.value:.2f} {m.unit.value}" for m in measurements)
        sys.stdout.write(f"{label}: {numbers}\n")


def _montage(loaded: series.Series, findings: Findings) -> NDArray[np.uint8]:
    """Draw eight axial slices, from feet to head, over four coronal ones, from front to back."""
    held = np.logical_or.reduce([region.mask for region in findings.regions])
    slices, rows = (np.flatnonzero(held.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    slice_mm, row_mm, _ = loaded.geometry.spacing_mm
    axial = [_drawn(loaded, findings, np.s_[i]) for i in np.linspace(slices[0], slices[-1], 10).astype(int)[1:-1]]
    coronal = [
        ndimage.zoom(
            _drawn(loaded, findings, np.s_[:, i])[::-1],
            (slice_mm / row_mm, 1, 1),
            order=0,
        )
        for i in np.linspace(rows[0], rows[-1], 6).astype(int)[1:-1]
    ]
    width = axial[0].shape[1]
    height = min(picture.shape[0] for picture in coronal)
    lines = [np.hstack(axial[:4]), np.hstack(axial[4:]), np.hstack([picture[:height] for picture in coronal])]
    step = max(1, width // 256)
    return np.vstack(lines)[::step, ::step]


def _drawn(loaded: series.Series, findings: Findings, where: object) -> NDArray[np.uint8]:
    grey = np.clip((loaded.pixel_array[where].astype(np.float32) - _LOW_HU) / (_HIGH_HU - _LOW_HU), 0, 1) * 255  # type: ignore[index] # a plane or a row of planes
    picture = np.repeat(grey[..., None], 3, axis=-1)
    for region in findings.regions:
        mask, colour = region.mask[where], _COLOURS[region.label]  # type: ignore[index] # a plane or a row of planes
        if region.label == "opacity":
            picture[mask] = 0.7 * picture[mask] + 0.3 * np.array(colour)
        picture[mask & ~ndimage.binary_erosion(mask)] = colour
    return picture.astype(np.uint8)


if __name__ == "__main__":
    main()
