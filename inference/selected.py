"""A selection loaded, whatever it is: a CT stack or a radiograph, as the pipeline's card asks for."""

from collections.abc import Sequence
from pathlib import Path

from inference import radiograph, series
from inference.card import ModelCard, XRayInput
from inference.radiograph import Radiograph
from inference.series import Series

Selected = Series | Radiograph
"""What a pipeline reads and the writers write about."""


def load(card: ModelCard, paths: Sequence[Path]) -> Selected:
    """Read the files of a selection.

    Parameters
    ----------
    card : ModelCard
        Of the pipeline that is to read it.
    paths : sequence of Path
        Of one CT stack, or of one radiograph.

    Raises
    ------
    inference.findings.SelectionRefusedError
        If the files are not that, or cannot be decoded.
    """
    if isinstance(card.input, XRayInput):
        (path,) = paths
        return radiograph.load(path)
    return series.load(paths)
