"""docs/python.md is one program: its blocks run, in their order, on the synthetic CT."""

import re
from pathlib import Path

import pydicom
import pytest
from PIL import Image

from phantom.ct import make_chest
from phantom.dicom import write_study

BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (Path(__file__).parents[2] / "docs/python.md").read_text(), flags=re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    write_study(folder / "study", make_chest(slices=58, rows=128, columns=128, spacing_mm=(5.0, 2.8, 2.8)))
    names: dict[str, object] = {"__name__": "notebook"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, block in enumerate(BLOCKS, start=1):
            exec(compile(block, f"docs/python.md, block {number}", "exec"), names)  # noqa: S102 - our own page
    return folder, names


def test_the_page_has_blocks_for_loading_looking_writing_and_an_own_model():
    assert len(BLOCKS) >= 5


def test_its_numbers_are_those_of_the_synthetic_chest(ran):
    _, names = ran
    assert {region.label for region in names["findings"].regions} == {"right lung", "left lung", "opacity"}
    assert 1500 < names["findings"].regions[0].measurements[0].value < 3000


def test_its_picture_shows_the_right_lung_in_red(ran):
    folder, _ = ran
    picture = Image.open(folder / "right-lung.png")
    assert picture.size == (128, 128)
    reddened = sum(count for count, (red, _, blue) in picture.getcolors(2**16) if red == 255 and blue < 128)
    assert reddened > 500


def test_the_objects_that_it_writes_are_whole_dicom_files(ran):
    folder, names = ran
    written = {path.name: pydicom.dcmread(path) for path in folder.glob("*.dcm")}
    assert {"seg-1.dcm", "sr-1.dcm", "map-1.dcm", "key-image-1.dcm", "mine-seg-1.dcm", "mine-sr-1.dcm"} <= set(written)
    assert {dataset.StudyInstanceUID for dataset in written.values()} == {names["ct"].headers[0].StudyInstanceUID}
