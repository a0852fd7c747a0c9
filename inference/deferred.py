"""A heatmap that costs nothing until somebody looks at its values: most sites want no maps of CT."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from inference.coding import Code
from inference.findings import Heatmap
from inference.geometry import Geometry


class DeferredHeatmap(Heatmap):
    """A heatmap whose values are made when they are first read.

    Parameters
    ----------
    label, quantity, unit, grid, value_range
        As of every heatmap.
    compute : callable
        Returns the values; called once, or never.
    """

    __slots__ = ("_compute",)
    _compute: Callable[[], NDArray[np.float32]]

    def __init__(
        self,
        *,
        label: str,
        quantity: Code,
        unit: Code,
        grid: Geometry,
        value_range: tuple[float, float],
        compute: Callable[[], NDArray[np.float32]],
    ) -> None:
        given = {"label": label, "quantity": quantity, "unit": unit, "grid": grid, "value_range": value_range}
        for field in fields(Heatmap):
            if field.name != "values":
                object.__setattr__(self, field.name, given.get(field.name, field.default))
        object.__setattr__(self, "_compute", compute)

    def __getattr__(self, name: str) -> NDArray[np.float32]:
        # Python asks here for what its slot does not hold yet.
        if name != "values":
            raise AttributeError(name)
        values = self._compute()
        object.__setattr__(self, "values", values)
        return values
