"""Opacity of a given extent, planted into the synthetic chest at a given place: the truth that severity is learnt from.

Lobes are cut by planes where the fissures of a person run. In them opacity grows from seeds, as pneumonia does, until
it fills the wanted share of both lungs to the voxel.
"""

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from phantom.ct import ChestPhantom, Mask

_GROUND_GLASS_RISE, _CONSOLIDATION_RISE, _SOFTEST = 370.0, 870.0, 60.0
_ROUGHNESS_MM, _ROUGHNESS_SCALE_MM = 14.0, 16.0
_LOBAR_POINTS = (0.0, 0.05, 0.25, 0.5, 0.75)


class Lobe(StrEnum):
    """The five lobes."""

    RIGHT_UPPER = "right upper lobe"
    RIGHT_MIDDLE = "right middle lobe"
    RIGHT_LOWER = "right lower lobe"
    LEFT_UPPER = "left upper lobe"
    LEFT_LOWER = "left lower lobe"


def lobes(chest: ChestPhantom) -> dict[Lobe, Mask]:
    """Cut the lungs along the fissures: the oblique ones rise backwards, the horizontal one is the right lung's."""
    z, y, _ = _coordinates_mm(chest)
    below = z < 132 + 0.62 * y
    lower = z < 142
    right, left = chest.right_lung, chest.left_lung
    return {
        Lobe.RIGHT_UPPER: right & ~below & ~lower,
        Lobe.RIGHT_MIDDLE: right & ~below & lower,
        Lobe.RIGHT_LOWER: right & below,
        Lobe.LEFT_UPPER: left & ~below,
        Lobe.LEFT_LOWER: left & below,
    }


def planted(
    chest: ChestPhantom,
    *,
    share: float,
    places: Collection[Lobe] = tuple(Lobe),
    consolidated: float = 0.4,
    seed: int = 0,
) -> ChestPhantom:
    """Plant opacity into a clear chest.

    Parameters
    ----------
    chest : ChestPhantom
        Without opacity.
    share : float
        Of both lungs together, in [0, 1], that is to be opaque.
    places : collection of Lobe
        Where it may be; a focus begins in each.
    consolidated : float
        Share of the opacity that is consolidation, at its core; ground glass around.
    seed : int
        Of the foci and the ragged border.

    Raises
    ------
    ValueError
        If the places are smaller than the share.
    """
    random = np.random.default_rng(seed)
    parts = lobes(chest)
    room = np.any([parts[place] for place in sorted(places)], axis=0)
    wanted = round(share * int((chest.right_lung | chest.left_lung).sum()))
    if wanted > room.sum():
        raise ValueError(f"{share:.0%} of the lungs do not fit into {', '.join(sorted(places))}")
    reached = _order(chest, [parts[place] for place in sorted(places)], room, random)
    opacity, core = reached < wanted, reached < round(consolidated * wanted)
    rise = np.where(core, _CONSOLIDATION_RISE, _GROUND_GLASS_RISE) * opacity
    denser = np.minimum(chest.hounsfield + rise, np.maximum(chest.hounsfield, _SOFTEST))
    return replace(chest, hounsfield=np.rint(denser).astype(np.int16), opacity=opacity)


def involvement(chest: ChestPhantom) -> float:
    """Return the opaque share of both lungs."""
    return float(chest.opacity.sum() / (chest.right_lung | chest.left_lung).sum())


def global_ct_score(chest: ChestPhantom) -> int:
    """Return the score of all five lobes, 0 to 25: none 0, below 5 % 1, to 25 % 2, to 50 % 3, to 75 % 4, more 5.

    References
    ----------
    Pan et al., Radiology 2020;295:715.
    """
    shares = [float(chest.opacity[lobe].mean()) for lobe in lobes(chest).values()]
    return sum(sum(share > least for least in _LOBAR_POINTS) for share in shares)


def _order(chest: ChestPhantom, parts: list[Mask], room: Mask, random: np.random.Generator) -> NDArray[np.intp]:
    """Return when opacity reaches each voxel, counted from 0; what is outside the room comes last."""
    z, y, x = _coordinates_mm(chest)
    away = np.full(room.shape, np.inf)
    for part in parts:
        focus = random.choice(np.argwhere(part))
        squares = [(axis - axis.flat[at]) ** 2 for axis, at in zip((z, y, x), focus, strict=True)]
        away = np.minimum(away, np.sqrt(squares[0] + squares[1] + squares[2]))
    hills = ndimage.gaussian_filter(
        random.standard_normal(room.shape), _ROUGHNESS_SCALE_MM / np.array(chest.spacing_mm)
    )
    away += _ROUGHNESS_MM * hills / hills.std()
    reached = np.full(room.size, room.size, dtype=np.intp)
    inside = np.flatnonzero(room)
    reached[inside[np.argsort(away.flat[inside], kind="stable")]] = np.arange(inside.size)
    return reached.reshape(room.shape)


def _coordinates_mm(chest: ChestPhantom) -> tuple[NDArray[np.float64], ...]:
    """Return LPS z, y and x, shaped to broadcast to (slices, rows, columns)."""
    slices, rows, columns = (
        start + step * np.arange(size)
        for start, step, size in zip(chest.origin_mm[::-1], chest.spacing_mm, chest.hounsfield.shape, strict=True)
    )
    return slices[:, None, None], rows[None, :, None], columns[None, None, :]
