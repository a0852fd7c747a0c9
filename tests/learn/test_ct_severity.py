"""`ct-severity` learns from phantoms with planted opacity: level, cause, and the place where it looks are right.

`make learn` trains both networks, for three minutes each at most, and writes docs/evidence/learn.json; `make test`
trains I3D for seconds, and fills the slot of LTC at random.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from phantom.involvement import Lobe
from tests.learn.evidence import FULL, write
from tests.learn.severity_phantoms import LEVELS, PLACES
from tests.learn.severity_wiring import Verdict, Wired, wire
from training.ct_severity.fitting import Network, Recipe

pytestmark = pytest.mark.timeout(1800 if FULL else 300)

_MOST_SECONDS = 180
_LEARNT = 4
"""The lowest level of which opacity is what speaks for it: what speaks for a low level is clear lung, everywhere."""
_QUICK = {"folds": 0, "variation": 0.0, "weight_decay": 0.01, "averaging": 0.95}
_LTC = Recipe(network=Network.LTC, width=6, size=(24, 96, 96), **_QUICK)
_I3D = Recipe(network=Network.I3D, width=8, size=(32, 64, 64), dropout=0.0, **_QUICK)
_RECIPES = (
    (
        replace(_LTC, epochs=15, learning_rate=3e-3, dropout=0.2, covid_weight=1.0),
        replace(_I3D, epochs=5, learning_rate=5e-3, width=6, size=(24, 128, 128)),
    )
    if FULL
    else (
        replace(_LTC, epochs=0, width=2, size=(32, 64, 64)),
        replace(_I3D, epochs=20, learning_rate=6e-3, width=4, batch=4, covid_weight=0.25),
    )
)
_CTS, _UNSEEN = (320, 40) if FULL else (60, 20)
_LEAST_EXACT, _LEAST_NEAR = (0.8, 1.0) if FULL else (0.5, 0.9)
_LEAST_AT_OPACITY = 0.8 if FULL else 0.7
_LEAST_AT_A_PLACE = 0.5
_TRAINED = ("LTC", "I3D") if FULL else ("I3D",)


@pytest.fixture(scope="module")
def wired(tmp_path_factory) -> Wired:
    wired = wire(tmp_path_factory.mktemp("ct-severity"), _RECIPES, cts=_CTS, unseen=_UNSEEN)
    write("ct-severity", {name: _measured(wired, name) for name in _TRAINED})
    return wired


@pytest.fixture(params=_TRAINED)
def verdicts(wired, request) -> Sequence[Verdict]:
    return wired.verdicts[request.param]


def test_levels_are_right_on_cts_that_it_has_not_seen(verdicts):
    assert wrong_levels(verdicts) == []


@pytest.mark.skipif(not FULL, reason="seconds do not suffice for it")
def test_the_cause_is_right_on_cts_that_it_has_not_seen(verdicts):
    assert _share(one.covid == (one.covid_said >= 50) for one in verdicts) >= _LEAST_EXACT


def test_attention_is_hottest_where_opacity_was_planted(verdicts):
    assert wrong_places(verdicts) == []


def test_attention_on_the_wrong_side_would_be_seen(verdicts):
    mirrored = [replace(one, at_opacity=one.mirrored_at_opacity) for one in verdicts]
    assert wrong_places(mirrored)


def test_levels_of_other_cts_would_be_seen(verdicts):
    others = [replace(one, level=other.level) for one, other in pairwise([*verdicts, verdicts[0]])]
    assert wrong_levels(others)


@pytest.mark.skipif(not FULL, reason="a slow machine takes longer; `make learn` says how long")
def test_training_takes_no_longer_than_it_may(wired):
    assert max(record["cpu_minutes"] * 60 for record in wired.records.values()) <= _MOST_SECONDS


def wrong_levels(verdicts: Sequence[Verdict]) -> list[str]:
    """Return what is wrong with levels; guessing is right in one of five."""
    exact = _share(one.said == one.level for one in verdicts)
    near = _share(abs(one.said - one.level) <= 1 for one in verdicts)
    return [f"{exact:.0%} exact"] * (exact < _LEAST_EXACT) + [f"{near:.0%} within one level"] * (near < _LEAST_NEAR)


def wrong_places(verdicts: Sequence[Verdict]) -> list[str]:
    """Return how often maps of high levels are hottest where no opacity is, and in which lobes most of them are."""
    at_opacity = _share(one.at_opacity for one in verdicts if one.level >= _LEARNT)
    said = [f"{at_opacity:.0%} hottest at opacity"] * (at_opacity < _LEAST_AT_OPACITY)
    return said + [str(place) for place, share in _by_place(verdicts).items() if share < _LEAST_AT_A_PLACE]


def _by_place(verdicts: Sequence[Verdict]) -> dict[Lobe, float]:
    high = [one for one in verdicts if one.level >= _LEARNT]
    return {place: _share(one.at_opacity for one in high if one.place == place) for place in PLACES}


def _share(answers: Any) -> float:
    answers = list(answers)
    return sum(answers) / len(answers)


def _measured(wired: Wired, name: str) -> dict[str, Any]:
    record, verdicts = wired.records[name], wired.verdicts[name]
    high = [one for one in verdicts if one.level >= _LEARNT]
    confusion = [[0] * LEVELS for _ in range(LEVELS)]
    for one in verdicts:
        confusion[one.level - 1][one.said - 1] += 1
    return {
        "trained_on": record["trained_on"],
        "training_cpu_seconds": round(60 * record["cpu_minutes"]),
        **{key: record[key] for key in ("width", "input", "parameters", "recipe")},
        "unseen_cts": len(verdicts),
        "exact": _share(one.said == one.level for one in verdicts),
        "within_one_level": _share(abs(one.said - one.level) <= 1 for one in verdicts),
        "guessing": 1 / LEVELS,
        "confusion_truth_by_said": confusion,
        "covid_right": _share(one.covid == (one.covid_said >= 50) for one in verdicts),
        "attention_of_levels": [_LEARNT, LEVELS],
        "attention_hottest_at_opacity": _share(one.at_opacity for one in high),
        "attention_mirrored_at_opacity": _share(one.mirrored_at_opacity for one in high),
        "attention_by_place": _by_place(verdicts),
        "attention_of_lower_levels": _share(one.at_opacity for one in verdicts if one.level < _LEARNT),
    }
