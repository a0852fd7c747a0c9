"""Step 8: four logistic regressions on the features, and their weighted sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.weights import Verified, WrongWeightsError
from inference.weights.loading import load_arrays

VIEWS = ("full", "lung")
"""What the features are of: whole slices, lungs alone."""
OUTCOMES = ("covid", "severe")
_FEATURES, _COVARIATES = 1024, 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Regression:
    """One logistic regression.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (features,) or (features + 2,)
        Those of severity end in age / 100 and sex.
    intercept : float
        Of the logit.
    weight : float
        Of its probability in the sum over both views.
    """

    coefficients: NDArray[np.float64]
    intercept: float
    weight: float

    def logit(self, values: NDArray[np.floating]) -> float:
        """Return the logit."""
        return float(np.dot(values, self.coefficients) + self.intercept)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What the regressions say.

    Attributes
    ----------
    covid, severe : float
        In [0, 1]; not calibrated.
    logits : Mapping[tuple of str, float]
        Of each regression, by view and outcome.
    """

    covid: float
    severe: float
    logits: Mapping[tuple[str, str], float]

    def probability(self, view: str, outcome: str) -> float:
        """Return what one regression says, in [0, 1]."""
        return _sigmoid(self.logits[view, outcome])


def load_regressions(weights: Verified) -> dict[tuple[str, str], Regression]:
    """Return the four regressions by view and outcome.

    Raises
    ------
    inference.weights.WrongWeightsError
        If the file does not hold them.
    """
    arrays = load_arrays(weights)
    return {
        (view, outcome): Regression(
            coefficients=_array(arrays, f"coef_{view}_{outcome}", weights, size=_size(outcome)),
            intercept=float(_array(arrays, f"intercept_{view}_{outcome}", weights)),
            weight=float(_array(arrays, f"alpha_{view}_{outcome}", weights)),
        )
        for outcome in OUTCOMES
        for view in VIEWS
    }


def scores(
    regressions: Mapping[tuple[str, str], Regression],
    features: Mapping[str, NDArray[np.float32]],
    covariates: tuple[float, float],
) -> Scores:
    """Apply the regressions.

    Parameters
    ----------
    regressions : mapping of Regression
        From `load_regressions`.
    features : mapping of ndarray of float32, shape (1024,)
        By view.
    covariates : tuple of 2 float
        Age / 100 and sex, for severity.
    """
    told = {"covid": (), "severe": covariates}
    logits = {
        (view, outcome): regression.logit(np.hstack([features[view], told[outcome]]))
        for (view, outcome), regression in regressions.items()
    }
    covid, severe = (
        sum(regressions[view, outcome].weight * _sigmoid(logits[view, outcome]) for view in VIEWS)
        for outcome in OUTCOMES
    )
    return Scores(covid=covid, severe=severe, logits=logits)


def _size(outcome: str) -> int:
    return _FEATURES + (_COVARIATES if outcome == "severe" else 0)


def _array(arrays: Mapping[str, Any], name: str, weights: Verified, *, size: int | None = None) -> NDArray[np.float64]:
    """Return an array of finite numbers, or a single one where no size is given."""
    shape = () if size is None else (size,)
    array = arrays.get(name)
    if array is None or array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise WrongWeightsError(weights.slot, f"{weights.path.name} has no {name} of shape {shape} in finite numbers")
    return np.asarray(array, dtype=np.float64)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
