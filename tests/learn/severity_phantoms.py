"""Chest CTs whose severity, cause and place of opacity are known, as DICOM series with the table of a site.

The scale is a fifth of the published one: a level is 4 % of both lungs, so that the highest still fits into one lobe,
and an attention map has a place to show. What stands for COVID-19 is ground glass; for other causes, consolidation.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.resampled_ct import SPACING_MM
from phantom.ct import ChestPhantom, make_chest
from phantom.dicom import write_study
from phantom.involvement import Lobe, planted

PLACES = (Lobe.RIGHT_UPPER, Lobe.LEFT_LOWER, Lobe.LEFT_UPPER, Lobe.RIGHT_LOWER)
LEVELS = 5
_SHARE_A_LEVEL = 0.04
_MIDDLE = (0.25, 0.75)
"""Of a level's range, where shares are drawn from: the truth is then not a matter of a few voxels."""
_CONSOLIDATED = {True: 0.15, False: 0.85}
_ANATOMIES = 3
_GRID = {"slices": 48, "rows": 56, "columns": 80, "spacing_mm": (4.8, 3.5, 3.5)}
"""A field of view that holds the lungs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KnownCT:
    """One phantom, and its files.

    Attributes
    ----------
    chest : ChestPhantom
        With the opacity as a mask.
    level : int
        From 1 to 5.
    covid : bool
        Whether its opacity looks like it.
    place : Lobe
        Which lobe holds all of the opacity.
    paths : list of Path
        A DICOM series.
    """

    chest: ChestPhantom
    level: int
    covid: bool
    place: Lobe
    paths: list[Path]


def known_cts(folder: Path, count: int, *, seed: int) -> list[KnownCT]:
    """Write CTs, as many of each level, place and cause as of every other, and ``labels.csv``."""
    random = np.random.default_rng(seed)
    cts = list(_cts(folder, count, random, seed))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["folder", "patient", "level", "covid"])
        table.writerows([ct.paths[0].parent.name, f"P{n}", ct.level, int(ct.covid)] for n, ct in enumerate(cts))
    return cts


def truth_of_lungs(like: ChestPhantom, shape: tuple[int, ...]) -> np.ndarray:
    """Return both lungs of a phantom, 1 right and 2 left, on the grid that lungmask R231 is shown."""
    labels = like.right_lung + 2 * like.left_lung.astype(np.uint8)
    places = (
        np.rint(np.arange(size) * step / own).astype(int).clip(0, most - 1)
        for size, step, own, most in zip(shape, SPACING_MM, like.spacing_mm, labels.shape, strict=True)
    )
    return labels[np.ix_(*places)]


def _cts(folder: Path, count: int, random: np.random.Generator, seed: int) -> Iterator[KnownCT]:
    clear = [make_chest(**_GRID, opacity=False, seed=100 * seed + number) for number in range(_ANATOMIES)]
    for number in range(count):
        level, place = number % LEVELS + 1, PLACES[number // LEVELS % len(PLACES)]
        covid = (number + number // (LEVELS * len(PLACES))) % 2 == 0
        chest = planted(
            clear[random.integers(len(clear))],
            share=(level - 1 + random.uniform(*_MIDDLE)) * _SHARE_A_LEVEL,
            places=[place],
            consolidated=_CONSOLIDATED[covid],
            seed=int(random.integers(2**32)),
        )
        paths = write_study(folder / f"ct{number}", chest, uid_entropy=f"learn {seed} {number}")
        yield KnownCT(chest=chest, level=level, covid=covid, place=place, paths=paths)
