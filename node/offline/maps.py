"""On which grid maps are written; light to import."""

from enum import StrEnum


class Maps(StrEnum):
    """Of a destination or a run."""

    SOURCE_GRID = "source-grid"
    COARSE = "coarse"
    NONE = "none"
