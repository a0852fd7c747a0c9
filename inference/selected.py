"""A selection loaded, whatever it is: a CT stack or a radiograph, as the pipeline's card asks for."""

from collections.abc import Sequence
from pathlib import Path

from inference import radiograph, series
from inference.card import ModelCard, XRayInput
from inference.findings import Refusal, SelectionRefusedError
from inference.radiograph import Radiograph
from inference.series import Series
from inference.wording import counted

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
        if len(paths) != 1:
            raise SelectionRefusedError(_one_image(len(paths)))
        return radiograph.load(paths[0])
    return series.load(paths)


def _one_image(count: int) -> Refusal:
    return Refusal(
        code="not-one-image",
        reason=f"The pipeline reads one X-ray image; {counted(count, 'file')} came.",
        remedy="Give the file of one frontal chest image.",
    )
