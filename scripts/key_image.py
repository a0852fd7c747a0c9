"""Draw the key image of a phantom, for the documentation.

    .venv/bin/python scripts/key_image.py lung-densitometry docs/key_image.png
    .venv/bin/python scripts/key_image.py lung-fields docs/key_image_xray.png

Pictures of patients are never committed; `opacity-node run` draws them.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dicom_out.build import ResultContext, ResultKind, build
from inference import selected
from inference.card import XRayInput
from inference.registry import CARDS, load
from phantom.cxr_dicom import write_radiograph_study
from phantom.dicom import write_study

_COLOURS = 256
_DRAWN_AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def main() -> None:
    """Read the arguments, run the pipeline on the phantom of its kind, save its key image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", choices=sorted(CARDS))
    parser.add_argument("picture", type=Path)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    arguments = parser.parse_args()
    _save(_drawn(arguments.pipeline, arguments.weights), arguments.picture)


def _drawn(pipeline: str, weights: Path) -> Image.Image:
    card = CARDS[pipeline]
    with tempfile.TemporaryDirectory() as folder:
        is_xray = isinstance(card.input, XRayInput)
        paths = write_radiograph_study(Path(folder))[:1] if is_xray else write_study(Path(folder))
        source = selected.load(card, paths)
    findings = load(pipeline, weights=weights)(source, device="cpu")
    context = ResultContext(pipeline=pipeline, selection_hash="00" * 32, created_at=_DRAWN_AT)
    objects = {item.kind: item.dataset for item in build(findings, source, context)}
    image = objects[ResultKind.KEY_IMAGE]
    return Image.frombytes("RGB", (image.Columns, image.Rows), image.PixelData)


def _save(picture: Image.Image, path: Path) -> None:
    """Save with few colours: the pages of a repository are to be light."""
    few = picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
