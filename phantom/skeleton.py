"""Bones, airway and vessels of `phantom.thorax` as tubes along curves, and their projection, sharp at any resolution.

A tube of radius r is a row of points, each a disc of radius r in the projection that weighs the length of curve it
stands for: added up, discs give the chord of the tube, also where it runs along the ray.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.interpolate import PchipInterpolator
from scipy.special import j1

from phantom.thorax import EXTENT_MM, Axis, Floats, cage_half_axes
from phantom.vessels import vessel_tree

_STEP_MM = 0.7
_BLUR_MM = 0.35  # focal spot and detector
_MARROW = 0.25
Points = Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tube:
    """A curve with a thickness.

    Attributes
    ----------
    points : ndarray of float32, shape (n, 3)
        About every `_STEP_MM`, LPS (x, y, z) in mm.
    radius_mm : float
        Of the tube.
    density : float
        More than the soft tissue around it, relative to water; -1 is air.
    cortex_mm : float
        Bones are `_MARROW` dense within this shell; 0 is a solid tube.
    weights : ndarray of float32, shape (n,), optional
        Of the points; 1 where None.
    """

    points: Points
    radius_mm: float
    density: float
    cortex_mm: float = 0.0
    weights: Floats | None = None


def bones(axis: Axis) -> Iterator[Tube]:
    """Give ribs, spine and sternum; in the frontal view also shoulders: a lateral view has raised them."""
    yield from _spine()
    yield Tube(points=_curve([(0, -92, 88), (0, -101, 0), (0, -96, -55)]), radius_mm=6, density=0.6, cortex_mm=1.2)
    for side in (-1, 1):
        yield from (_rib(side, number) for number in range(12))
        if axis == "frontal":
            yield from _shoulder(side)


def airway() -> Iterator[Tube]:
    """Give trachea and main bronchi."""
    carina = (2, 22, 34)
    yield Tube(points=_curve([(0, -5, 240), (1, 5, 130), carina]), radius_mm=8.5, density=-1)
    yield Tube(points=_curve([carina, (-16, 24, 18), (-38, 28, -2)]), radius_mm=6, density=-0.7)
    yield Tube(points=_curve([carina, (22, 26, 20), (44, 30, 6)]), radius_mm=5, density=-0.7)


def vessels(random: np.random.Generator) -> Iterator[Tube]:
    """Give the vessels of both lungs by size; they may leave the lungs, which the projection knows better."""
    sizes = np.array([0.6, 0.9, 1.3, 1.9, 2.6])
    for side in (-1, 1):
        tree = [(*point, radius) for point, radius in vessel_tree(side, random)]
        points = np.array(tree, dtype=np.float32)
        nearest = np.abs(points[:, 3:] - sizes).argmin(axis=1)
        placed = (points[:, :3] - (0, 0, 148)) * (1.05, 1.0, 1.3) + (side * 8, 4, 2)
        for index, radius in enumerate(sizes):
            own = placed[nearest == index].astype(np.float32)
            yield Tube(points=own, radius_mm=float(radius), density=0.8, weights=np.full(len(own), 2.4, np.float32))


def project(tubes: Iterable[Tube], axis: Axis, *, step_mm: float) -> Floats:
    """Add up what tubes attenuate more than soft tissue, in mm of water.

    Parameters
    ----------
    tubes : iterable of Tube
        Bones, vessels, airways.
    axis : {'frontal', 'lateral'}
        Along y or along x.
    step_mm : float
        Between the pixels of the picture, which is as large as `phantom.thorax` is.
    """
    pixels = round(2 * EXTENT_MM / step_mm)
    layers: dict[float, Floats] = {}
    for tube in tubes:
        drawn = _dots(tube, axis, step_mm, pixels)
        shells = [(tube.radius_mm, tube.density)]
        if tube.cortex_mm:
            shells.append((tube.radius_mm - tube.cortex_mm, tube.density * (_MARROW - 1)))
        for radius, weight in shells:
            layers[radius] = layers.get(radius, np.float32(0)) + np.float32(weight) * drawn
    up, across = fft.fftfreq(pixels, step_mm)[:, None], fft.rfftfreq(pixels, step_mm)
    frequency = np.hypot(up, across).astype(np.float32)
    spectrum = sum(fft.rfft2(layer) * _disc(radius, frequency) for radius, layer in layers.items())
    blurred = spectrum / step_mm**2 * np.exp(-2 * (np.pi * _BLUR_MM * frequency) ** 2)
    return np.asarray(fft.irfft2(blurred, s=(pixels, pixels)), dtype=np.float32)


def _dots(tube: Tube, axis: Axis, step_mm: float, pixels: int) -> Floats:
    """Lengths of curve in mm, each shared by the four pixels around its point."""
    horizontal = tube.points[:, 0 if axis == "frontal" else 1]
    column, row = (horizontal + EXTENT_MM) / step_mm - 0.5, (EXTENT_MM - tube.points[:, 2]) / step_mm - 0.5
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    inside = (left >= 0) & (top >= 0) & (left < pixels - 1) & (top < pixels - 1)
    left, top, right_share, low_share = left[inside], top[inside], (column - left)[inside], (row - top)[inside]
    lengths = _STEP_MM * (tube.weights[inside] if tube.weights is not None else np.ones(len(left)))
    dots = np.zeros(pixels * pixels)
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (low_share if down else 1 - low_share) * (right_share if across else 1 - right_share)
        dots += np.bincount((top + down) * pixels + left + across, lengths * share, minlength=pixels * pixels)
    return dots.reshape(pixels, pixels).astype(np.float32)


def _disc(radius_mm: float, frequency: Floats) -> Floats:
    """Give the spectrum of a disc of height 1, in mm: a length of curve becomes the length of rays through the tube."""
    angle = np.maximum(2 * np.pi * radius_mm * frequency, 1e-6)
    return np.asarray(2 * np.pi * radius_mm**2 * j1(angle) / angle, dtype=np.float32)


def _curve(knots: Iterable[tuple[float, float, float]]) -> Points:
    """Points every `_STEP_MM` along a smooth curve through knots."""
    places = np.array(list(knots), dtype=float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    smooth = PchipInterpolator(along, places)
    return np.asarray(smooth(np.arange(0, along[-1], _STEP_MM)), dtype=np.float32)


def _rib(side: int, number: int) -> Tube:
    """Lead a rib from the spine around the pleura to its cartilage: it falls to the front, the upper ones less."""
    turn = np.radians(np.linspace(8, (100, 125, 138, 142, 142, 140, 136, 130, 122, 112, 95, 70)[number], 600))
    fall = (38, 62, 82, 96, 106, 112, 116, 116, 112, 104, 90, 70)[number]
    z = (116 - 22.5 * number + 5 * np.sin(2 * turn) - fall * (1 - np.cos(turn)) / 2).astype(np.float32)
    a, b = cage_half_axes(np.minimum(z, 108))
    x = side * np.maximum((a + 4) * np.sin(turn), 20)
    points = np.stack([x, (b + 4) * np.cos(turn), z], axis=1).astype(np.float32)
    lengths = np.linalg.norm(np.diff(points, axis=0, append=points[-1:]), axis=1) / _STEP_MM
    radius = 4.2 if number == 0 else 5.6
    return Tube(points=points, radius_mm=radius, density=1.1, cortex_mm=1.3, weights=lengths.astype(np.float32))


def _shoulder(side: int) -> Iterator[Tube]:
    clavicle = [(side * x, y, z) for x, y, z in ((14, -72, 90), (60, -70, 102), (105, -40, 116), (152, -5, 122))]
    humerus = [(side * x, 5, z) for x, z in ((176, 98), (192, 40), (204, -60), (212, -150))]
    blade = [(side * x, y, z) for x, y, z in ((140, 55, 100), (134, 75, 40), (128, 88, -20))]
    spine = [(side * x, y, z) for x, y, z in ((118, 90, 84), (140, 75, 104), (160, 40, 126))]
    yield Tube(points=_curve(clavicle), radius_mm=6.0, density=1.4, cortex_mm=1.8)
    yield Tube(points=_curve(humerus), radius_mm=11, density=1.3, cortex_mm=3.5)
    yield Tube(points=_curve([(side * 164, 6, 112), (side * 172, 5, 96)]), radius_mm=22, density=0.8, cortex_mm=1.5)
    yield Tube(points=_curve(blade), radius_mm=6.0, density=0.9, cortex_mm=1.2)
    yield Tube(points=_curve(spine), radius_mm=6.0, density=0.9, cortex_mm=1.2)


def _spine() -> Iterator[Tube]:
    """Vertebral bodies with discs between them, spinous and transverse processes."""
    column = _curve([(0, 40, 240), (0, 62, 120), (0, 80, 20), (0, 66, -120), (0, 52, -240)])
    phase = np.mod(column[:, 2] + 4, 22.5)
    body = np.where(phase < 17.5, 1.0, 0.45).astype(np.float32)
    yield Tube(points=column, radius_mm=17, density=0.8, cortex_mm=1.6, weights=body)
    for z in np.arange(116 - 22.5 * 15, 230, 22.5):
        y = float(np.interp(z, [-240, -120, 20, 120, 240], [52, 66, 80, 62, 40]))
        yield Tube(points=_curve([(0, y + 22, z), (0, y + 44, z - 14)]), radius_mm=3.2, density=0.7)
        for side in (-1, 1):
            yield Tube(points=_curve([(side * 12, y + 18, z), (side * 13, y + 19, z - 5)]), radius_mm=4, density=0.7)
            yield Tube(points=_curve([(side * 14, y + 22, z), (side * 34, y + 28, z + 5)]), radius_mm=4, density=0.5)
