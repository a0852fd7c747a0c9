"""The four regressions: read whole or not at all, and added up by their weights."""

from pathlib import Path

import assets
import numpy as np
import pytest

from inference.balaitous.regressions import load_regressions, scores
from inference.weights import Shelf, WrongWeightsError
from tests import slots
from tests.slots import pinned

PUBLISHED = Path(assets.__file__).parent / "balaitous.npz"


@pytest.fixture
def verified(monkeypatch, tmp_path):
    """Verify a file of regressions, whatever it holds."""

    def of(arrays):
        path = tmp_path / "heads.npz"
        np.savez(path, **arrays)
        data = path.read_bytes()
        slot = {"name": "balaitous-heads", "file": path.name, "form": "arrays", "pin": pinned(data), "size": len(data)}
        slots.declare(monkeypatch, slot | {"url": "https://example.org/heads.npz"})
        return Shelf(tmp_path).find("balaitous-heads")

    return of


@pytest.fixture
def published():
    with np.load(PUBLISHED) as file:
        return dict(file)


def test_the_published_file_holds_all_four(verified, published):
    regressions = load_regressions(verified(published))
    assert list(regressions) == [("full", "covid"), ("lung", "covid"), ("full", "severe"), ("lung", "severe")]
    assert [round(part.weight, 2) for part in regressions.values()] == [0.35, 0.65, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("coef_full_covid", np.zeros(1023)),
        ("coef_lung_severe", np.zeros(1024)),
        ("intercept_full_covid", np.array(np.nan)),
        ("alpha_lung_covid", np.zeros(1)),
        ("alpha_full_severe", np.array("half")),
    ],
)
def test_a_file_that_does_not_hold_them_is_refused_by_what_is_wrong(verified, published, name, array):
    with pytest.raises(WrongWeightsError, match=name):
        load_regressions(verified(published | {name: array}))


def test_a_file_without_one_is_refused(verified, published):
    del published["intercept_lung_severe"]
    with pytest.raises(WrongWeightsError, match="intercept_lung_severe"):
        load_regressions(verified(published))


def test_age_and_sex_change_severity_alone(verified, published):
    regressions = load_regressions(verified(published))
    features = dict.fromkeys(("full", "lung"), np.zeros(1024, dtype=np.float32))
    young, old = (scores(regressions, features, covariates) for covariates in ((0.25, 0.0), (0.95, 1.0)))
    assert young.covid == old.covid
    assert young.severe < old.severe
    assert old.severe == pytest.approx((old.probability("full", "severe") + old.probability("lung", "severe")) / 2)
