"""Upright images with a bright rectangle, stored in every way that radiographs are stored."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tests.radiographs import write_xray

ORIENTATIONS = {
    ("L", "F"): lambda a: a,
    ("R", "F"): lambda a: a[:, ::-1],
    ("L", "H"): lambda a: a[::-1],
    ("R", "H"): lambda a: a[::-1, ::-1],
    ("F", "L"): lambda a: a.T,
    ("F", "R"): lambda a: a[:, ::-1].T,
    ("H", "L"): lambda a: a[::-1].T,
    ("H", "R"): lambda a: a[::-1, ::-1].T,
}
"""How an upright image is stored."""
ORIENTATIONS_BACK = {
    ("L", "F"): lambda a: a,
    ("R", "F"): lambda a: a[:, ::-1],
    ("F", "L"): lambda a: a.T,
    ("F", "R"): lambda a: a.T[:, ::-1],
}
"""How those that are stored so are turned upright."""


@dataclass(frozen=True)
class Planted:
    """An upright image with a bright rectangle, and how it is stored."""

    shape: tuple[int, int]
    top: float
    left: float
    orientation: tuple[str, str] = ("L", "F")
    photometric: str = "MONOCHROME2"

    @property
    def box(self) -> tuple[slice, slice]:
        starts = [round(share * length * 0.7) for share, length in zip((self.top, self.left), self.shape, strict=True)]
        sizes = [max(24, round(0.2 * length)) for length in self.shape]
        rows, columns = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
        return rows, columns

    @property
    def truth(self) -> np.ndarray:
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.box] = True
        return ORIENTATIONS[self.orientation](mask)

    def write(self, path):
        y, x = np.indices(self.shape)
        grey = (1600 * ((7 * x + 13 * y) % 101) / 100).astype(np.uint16)  # even in all parts, so that edges are alike
        grey[self.box] = 4000
        stored = np.ascontiguousarray(ORIENTATIONS[self.orientation](grey))
        if self.photometric == "MONOCHROME1":
            stored = 4000 - stored
        changes = {"PatientOrientation": list(self.orientation), "PhotometricInterpretation": self.photometric}
        return write_xray(path, stored, changes)


sides = st.integers(256, 520)
long = st.integers(1500, 2600)
planted = st.builds(
    Planted,
    shape=st.one_of(st.tuples(sides, sides), st.tuples(sides, long), st.tuples(long, sides)),
    top=st.floats(0, 1),
    left=st.floats(0, 1),
    orientation=st.sampled_from(list(ORIENTATIONS)),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
)


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


def extent(mask: np.ndarray) -> np.ndarray:
    """First and last marked row and column."""
    marked = np.argwhere(mask)
    return np.concatenate([marked.min(axis=0), marked.max(axis=0)])
