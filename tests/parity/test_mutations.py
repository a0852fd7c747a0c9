"""The comparison with the package notices when any step of ours is left out, turned round or bent."""

import pytest

from tests.parity import cases, ours
from tests.parity.mutations import MUTATIONS
from tests.parity.steps import compare


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return cases.phantom("padded and cropped", tmp_path_factory.mktemp("phantom"), lungs=slice(0, 24))


@pytest.fixture(scope="module")
def theirs(small, theirs_on):
    return theirs_on(small)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_changed_step_is_noticed_where_it_happens(mutation, small, theirs, tiny_shelf, monkeypatch, evidence):
    mutation.apply(monkeypatch)
    recorded, _ = ours.run(monkeypatch, small.series, small.labels, tiny_shelf)
    assert compare(theirs, recorded).departures[:1] == [mutation.seen_at]
    evidence.add("steps changed on purpose, and where that was noticed", mutation.name, mutation.seen_at)
