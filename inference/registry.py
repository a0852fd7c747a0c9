"""Name -> pipeline, loaded lazily.

Cards are imported with this module and cost nothing; a pipeline's networks and imaging libraries are imported when it
is loaded, in the worker.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast

from inference.card import ModelCard, SettingValue, settled
from inference.findings import Findings, Refusal
from inference.pipelines import (
    balaitous,
    ct_severity,
    lung_densitometry,
    lung_fields,
    opacity_boxes,
    opacity_ensemble,
    opacity_explain,
)
from inference.selected import Selected
from inference.weights import Shelf

_Input = TypeVar("_Input", bound=Selected, contravariant=True)


class Pipeline(Protocol[_Input]):
    """What the worker runs on what its card asks for: prepare, model, read out."""

    card: ModelCard

    def accepts(self, source: _Input, /) -> Refusal | None:
        """Say why the source does not fit, or None."""

    def __call__(self, source: _Input, /, device: str) -> Findings:
        """Run on the named torch device."""


class PipelineOfSeveral(Pipeline[_Input], Protocol[_Input]):
    """A pipeline that takes several sources at once, because a GPU is little slower for them than for one."""

    def together(self, sources: Sequence[_Input], /, device: str) -> Sequence[Findings | Refusal]:
        """Run on sources that it accepts; the outcomes in their order are those of one by one."""


CARDS: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            lung_densitometry.CARD,
            lung_fields.CARD,
            opacity_ensemble.CARD,
            opacity_explain.CARD,
            opacity_boxes.CARD,
            balaitous.CARD,
            ct_severity.CARD,
        )
    }
)
_PIPELINES: Mapping[str, Callable[..., Pipeline[Any]]] = {
    lung_densitometry.CARD.name: lung_densitometry.LungDensitometry,
    lung_fields.CARD.name: lung_fields.LungFields,
    opacity_ensemble.CARD.name: opacity_ensemble.OpacityEnsemble,
    opacity_explain.CARD.name: opacity_explain.OpacityExplain,
    opacity_boxes.CARD.name: opacity_boxes.OpacityBoxes,
    balaitous.CARD.name: balaitous.Balaitous,
    ct_severity.CARD.name: ct_severity.CTSeverity,
}


def load(name: str, *, weights: Path, settings: Mapping[str, SettingValue] | None = None) -> Pipeline[Any]:
    """Make the named pipeline.

    Parameters
    ----------
    name : str
        A key of `CARDS`.
    weights : Path
        Folder that holds weights files.
    settings : Mapping[str, str or float or tuple of float], optional
        What the site chooses of `ModelCard.settings`.

    Raises
    ------
    KeyError
        If there is no such pipeline.
    ValueError
        If a setting cannot be.
    inference.weights.WeightsRefusedError
        If weights that it cannot do without are not there, or are not what they should be.
    """
    Shelf(weights).require_for(name)
    card = CARDS[name]
    if not card.settings:
        return _PIPELINES[name](weights=weights)
    return _PIPELINES[name](weights=weights, settings=settled(card, settings or {}))


def load_several(
    name: str, *, weights: Path, settings: Mapping[str, SettingValue] | None = None
) -> PipelineOfSeveral[Any]:
    """Make a pipeline whose card says that it takes several sources at once; as `load` in all else."""
    pipeline = load(name, weights=weights, settings=settings)
    return cast("PipelineOfSeveral[Any]", pipeline)
