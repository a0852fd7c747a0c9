"""One Orthanc, one OHIF, one browser for all viewer tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.console import as_json
from tests.viewers.gallery import Gallery, gallery
from tests.viewers.studies import EVIDENCE, FULL, full, small

collect_ignore = [] if FULL else ["test_ohif_in_full.py"]


@pytest.fixture(scope="package")
def ohif(tmp_path_factory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("viewers")
    documentation = Path(EVIDENCE) if EVIDENCE else None
    with gallery(folder, full if FULL else small, documentation=documentation) as opened:
        yield opened
        if documentation:
            (documentation / "evidence" / "viewers.json").write_text(as_json(opened.evidence()) + "\n")
