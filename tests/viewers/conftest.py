"""The studies that viewer tests look at: small ones in ``make test``; ``make viewers`` looks at everything."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.radiograph import load
from phantom.ct import make_chest
from phantom.dicom import write_study
from tests.radiographs import write_xray, xray_findings
from tests.viewers.exhibits import Exhibit, of_findings, of_pipeline
from tests.viewers.gallery import Gallery, gallery

EVIDENCE = os.environ.get("VIEWERS_EVIDENCE")
collect_ignore = [] if EVIDENCE else ["test_ohif_in_full.py"]


@pytest.fixture(scope="session")
def ohif(tmp_path_factory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("viewers")
    with gallery(folder, {"ct": _ct(folder / "ct"), "cxr": _cxr(folder / "cxr")}) as opened:
        yield opened


def _ct(folder: Path) -> Exhibit:
    chest = make_chest(slices=56, rows=128, columns=128, spacing_mm=(5.0, 2.8, 2.8))
    return of_pipeline(folder, write_study(folder, chest), "lung-densitometry")


def _cxr(folder: Path) -> Exhibit:
    folder.mkdir()
    path = write_xray(folder / "cxr.dcm")
    source = load(path)
    return of_findings(folder, [path], source, xray_findings(source))
