"""What a pyramid says at boxes is what torchvision's own operation finds, but that channels come last."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from inference.networks.roi_rows import CELLS, SAMPLES, RowsAtBoxes

LEVELS = ["0", "1", "2", "3"]
ROWS, COLUMNS, CHANNELS = 192, 256, 3
INSIDE = [[3.0, 5, 90, 60], [100, 20, 101, 21], [0, 0, 250, 190], [10, 10, 10, 10], [200, 150, 256, 192]]
BEYOND = [[-30.0, -20, 40, 30], [-9, 180, 300, 240], [250, 186, 262, 230], [-90, -90, -70, -70]]


@pytest.fixture(scope="module")
def pyramid():
    random = torch.Generator().manual_seed(3)
    return {
        level: torch.rand(2, CHANNELS, ROWS >> n, COLUMNS >> n, generator=random)
        for n, level in enumerate(LEVELS, start=2)
    }


@pytest.mark.parametrize(
    "boxes",
    [(INSIDE, INSIDE[1:3]), (BEYOND, INSIDE), ([], INSIDE), ([], [])],
    ids=["on every level", "beyond the edge", "of one image", "none"],
)
def test_it_is_what_torchvision_finds(pyramid, boxes):
    some = [torch.tensor(each).reshape(-1, 4) for each in boxes]
    shapes = [(ROWS, COLUMNS - 5)] * 2
    theirs = MultiScaleRoIAlign(LEVELS, output_size=CELLS, sampling_ratio=SAMPLES)(pyramid, some, shapes)
    ours = RowsAtBoxes(LEVELS)(pyramid, some, shapes)
    assert ours.shape == (len(theirs), CELLS**2, CHANNELS)
    torch.testing.assert_close(ours.transpose(1, 2).reshape(theirs.shape), theirs, rtol=0, atol=1e-5)
