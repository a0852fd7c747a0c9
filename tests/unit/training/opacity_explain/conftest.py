"""A plain folder of X-rays that were never taken: two dark ellipses on grey, some with a bright patch in a lung."""

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.conftest import ellipse

SHAPE = (96, 112)
OPAQUE = 4
"""The first so many of six; the lungs of the last are not drawn."""


def lungs_of(number):
    return [ellipse(SHAPE, (48, SHAPE[1] * x + number), (34, 17)) for x in (0.3, 0.7)]


def opacity_of(number):
    patch = np.zeros(SHAPE, dtype=bool)
    if number < OPAQUE:
        patch[30:55, 20:60] = True
    return patch


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    for part in ("images", "masks", "right-lung", "left-lung"):
        (folder / part).mkdir()
    random = np.random.default_rng(1)
    for number in range(6):
        right, left = lungs_of(number)
        pixels = 170 - 90 * (right | left) + 60 * opacity_of(number) + random.normal(0, 4, SHAPE)
        drawings = {"images": pixels.clip(0, 255), "masks": 255 * opacity_of(number)}
        if number < 5:
            drawings |= {"right-lung": 255 * right, "left-lung": 255 * left}
        for part, values in drawings.items():
            Image.fromarray(values.astype(np.uint8)).save(folder / part / f"image{number}.png")
    return folder
