"""One image in every transfer syntax that scanners and PACS send, made by encoders that are not ours.

DCMTK makes most of them; it has no JPEG 2000, and neither it nor OpenJPEG writes HTJ2K: imagecodecs, which nnunetv2
brings along, encodes those two. Every file keeps its UIDs, so that it is the same image to a node.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, HTJ2KLossless, JPEG2000Lossless

from tests.peers import need_tool

_DCMTK: dict[str, tuple[str, ...]] = {
    "implicit": ("dcmconv", "+ti"),
    "explicit": ("dcmconv", "+te"),
    "big-endian": ("dcmconv", "+tb"),
    "deflated": ("dcmconv", "+td"),
    "rle": ("dcmcrle", "+un"),
    "jpeg-lossless": ("dcmcjpeg", "+el", "+sv", "6", "+un"),
    "jpeg-lossless-sv1": ("dcmcjpeg", "+e1", "+un"),
    "jpeg-ls": ("dcmcjpls", "+un"),
    "jpeg-ls-near": ("dcmcjpls", "+en", "+md", "2", "+un"),
    "jpeg-baseline": ("dcmcjpeg", "+eb", "+q", "100", "+un"),
    "jpeg-extended": ("dcmcjpeg", "+ee", "+q", "100", "+un"),
}
_ENCODER = Lock()
"""The HTJ2K encoder now and then writes a damaged stream when two threads use it."""
LOSSY = ("jpeg-ls-near", "jpeg-baseline", "jpeg-extended")
LOSSLESS = (*(name for name in _DCMTK if name not in LOSSY), "jpeg-2000", "htj2k")


def encode(path: Path, encoding: str, target: Path) -> Path:
    """Write the image of a file in another encoding; with the tool's own words where it cannot."""
    if encoding in _DCMTK:
        tool, *options = _DCMTK[encoding]
        command = [need_tool(tool), *options, path, target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise ValueError(done.stderr)
        return target
    codec = pytest.importorskip("imagecodecs")
    encoders: dict[str, tuple[UID, Callable[[Any], bytes]]] = {
        "jpeg-2000": (JPEG2000Lossless, lambda pixels: codec.jpeg2k_encode(pixels, reversible=True, codecformat="j2k")),
        "htj2k": (HTJ2KLossless, codec.htj2k_encode),
    }
    transfer_syntax_uid, encoder = encoders[encoding]
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array
    with _ENCODER:
        stream = encoder(pixels)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dataset.save_as(target)
    return target


def encode_all(paths: Sequence[Path], encoding: str, folder: Path) -> list[Path]:
    """Write the images of files in another encoding into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda path: encode(path, encoding, folder / path.name), paths))
