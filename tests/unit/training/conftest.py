"""A folder of annotated images that were never taken: two dark ellipses on grey."""

import csv

import numpy as np
import pytest
from PIL import Image

FIELDS = ("id", "source_file", "patient", "view", "finding", "licence", "origin", "sex", "age")


def ellipse(shape, middle, radii):
    rows, columns = np.indices(shape)
    return ((rows - middle[0]) / radii[0]) ** 2 + ((columns - middle[1]) / radii[1]) ** 2 < 1


@pytest.fixture(scope="session")
def chests(tmp_path_factory):
    """Three patients with two images each."""
    folder = tmp_path_factory.mktemp("chests")
    for part in ("images", "masks"):
        (folder / part).mkdir()
    random = np.random.default_rng(1)
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, FIELDS)
        table.writeheader()
        for number in range(6):
            shape = (90, 80 + 4 * number)
            lungs = [ellipse(shape, (45, shape[1] * x), (30, shape[1] * 0.16)) for x in (0.3, 0.7)]
            pixels = 170 - 90 * np.any(lungs, axis=0) + random.normal(0, 4, shape)
            name = f"image{number}"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{name}.jpg")
            Image.fromarray((np.any(lungs, axis=0) * 255).astype(np.uint8)).save(folder / "masks" / f"{name}.png")
            row = {"patient": number // 2, "view": "PA", "finding": "none", "licence": "CC0", "origin": "here"}
            table.writerow({"id": name, "source_file": "", "sex": "", "age": "", **row})
    return folder
