"""What computed a result: a pipeline's card, the weights it was computed with, and how its networks were computed."""

from collections.abc import Iterable, Mapping

from inference.batches import joined_parameters
from inference.card import ModelCard
from inference.findings import Algorithm
from inference.weights import Verified, combined_sha256


def algorithm_of(card: ModelCard, weights: Mapping[str, Verified], parts: Iterable[Mapping[str, str]]) -> Algorithm:
    """Say what computed a result.

    Parameters
    ----------
    card : ModelCard
        Of the pipeline.
    weights : Mapping[str, Verified]
        All that were used, by slot.
    parts : iterable of Mapping[str, str]
        Parameters of each computation, as `inference.batches.Computed` has them.
    """
    return Algorithm(
        name=card.name,
        version=card.version,
        weights_sha256=combined_sha256(list(weights.values())),
        parameters={**card.parameters, **joined_parameters(parts)},
    )
