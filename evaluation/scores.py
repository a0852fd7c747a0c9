"""One score for an image against yes or no: how well it orders images, decides, and can be read as a probability.

References
----------
Hanley and McNeil, Radiology 1982, 143:29-36 (area under the ROC curve); Brier, Mon Weather Rev 1950, 78:1-3;
Guo et al., ICML 2017 (reliability diagrams). The curves are scikit-learn's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Drawing, Estimate, Floats, are_few, between, share, weights

FALSE_ALARMS = np.linspace(0, 1, 101)
"""Where the band about the ROC curve is given."""
_BINS = 10
_FLOOR = 1e-6
"""Scores of 0 and 1 are taken as this far from them where their logarithm counts."""
_FEW = "Too few patients with a positive image, or without one, for an interval."
_APART = "Every positive image scores above every negative one: no interval can be had by drawing from these images."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """Points of a curve."""

    x: Floats
    y: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Roc:
    """The ROC curve, its area, and where 95 % of curves of drawn patients run.

    Attributes
    ----------
    low, high : ndarray of float, shape (101,), or None
        Sensitivity at each of `FALSE_ALARMS`.
    """

    curve: Curve
    area: Estimate
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """What a threshold decides."""

    threshold: float
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    sensitivity: Estimate
    specificity: Estimate
    positive_predictive_value: Estimate
    negative_predictive_value: Estimate


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reliability:
    """Images in tenths of the score: mean score, share of positives with Wilson's interval, number."""

    score: Floats
    positive: tuple[Estimate, ...]


def has_both(labels: Sequence[int]) -> bool:
    """Say whether there are positive and negative images, which ordering needs."""
    return len(set(labels)) == 2


def roc(labels: Sequence[int], scores: Sequence[float], patients: Sequence[int], drawing: Drawing) -> Roc:
    """Return the ROC curve of images of both kinds."""
    from sklearn.metrics import auc, roc_auc_score, roc_curve

    x, y, _ = roc_curve(labels, scores)
    area, images = float(roc_auc_score(labels, scores)), len(labels)
    curve = Curve(x=x, y=y)
    positive = [label == 1 for label in labels]
    if note := _APART if area in (0.0, 1.0) else _FEW if are_few(patients, positive) else "":
        return Roc(curve=curve, area=Estimate(value=area, images=images, note=note))
    areas, bands = [], []
    for drawn in weights(patients, positive, drawing):
        if not all(drawn[np.asarray(labels) == kind].any() for kind in (0, 1)):
            continue  # one patient with images of both kinds may leave a kind out
        false_alarms, found, _ = roc_curve(labels, scores, sample_weight=drawn)
        areas.append(float(auc(false_alarms, found)))
        bands.append(np.interp(FALSE_ALARMS, false_alarms, found))
    ends = between(areas) or (None, None)
    low, high = np.quantile(np.array(bands), [0.025, 0.975], axis=0) if bands else (None, None)
    return Roc(curve=curve, area=Estimate(value=area, low=ends[0], high=ends[1], images=images), low=low, high=high)


def precision_recall(labels: Sequence[int], scores: Sequence[float]) -> tuple[Curve, float]:
    """Return precision over sensitivity, and the average precision."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores)
    return Curve(x=recall, y=precision), float(average_precision_score(labels, scores))


def decide(labels: Sequence[int], scores: Sequence[float], threshold: float) -> Decisions:
    """Return what a threshold makes of scores; a score equal to it is positive."""
    truth, said = np.asarray(labels) == 1, np.asarray(scores) >= threshold
    true_positive, false_positive = int((truth & said).sum()), int((~truth & said).sum())
    true_negative, false_negative = int((~truth & ~said).sum()), int((truth & ~said).sum())
    return Decisions(
        threshold=threshold,
        true_positive=true_positive,
        false_positive=false_positive,
        true_negative=true_negative,
        false_negative=false_negative,
        sensitivity=share(true_positive, true_positive + false_negative),
        specificity=share(true_negative, true_negative + false_positive),
        positive_predictive_value=share(true_positive, true_positive + false_positive),
        negative_predictive_value=share(true_negative, true_negative + false_negative),
    )


def log_loss(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Return the mean negative logarithm of the probability that the truth was given."""
    from sklearn.metrics import log_loss as of_sklearn

    return float(of_sklearn(labels, np.clip(scores, _FLOOR, 1 - _FLOOR), labels=[0, 1]))


def brier(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Return the mean squared distance of scores from the truth."""
    return float(np.mean(np.square(np.asarray(scores, dtype=np.float64) - np.asarray(labels))))


def reliability(labels: Sequence[int], scores: Sequence[float]) -> Reliability:
    """Return, for every tenth of the score that holds images, how many are positive."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    bins: NDArray[np.intp] = np.minimum((values * _BINS).astype(np.intp), _BINS - 1)
    filled = [np.flatnonzero(bins == number) for number in range(_BINS) if np.any(bins == number)]
    return Reliability(
        score=np.array([values[members].mean() for members in filled]),
        positive=tuple(share(int(truth[members].sum()), members.size) for members in filled),
    )
