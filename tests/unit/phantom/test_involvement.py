import numpy as np
import pytest

from phantom.ct import make_chest
from phantom.involvement import Lobe, global_ct_score, involvement, lobes, planted


@pytest.fixture(scope="module")
def clear():
    return make_chest(slices=29, rows=60, columns=84, spacing_mm=(10.0, 4.0, 4.0), opacity=False)


def test_five_lobes_make_both_lungs_and_none_is_in_another(clear):
    parts = lobes(clear)
    np.testing.assert_array_equal(np.sum(list(parts.values()), axis=0), clear.right_lung | clear.left_lung)
    assert parts[Lobe.RIGHT_MIDDLE].sum() < min(part.sum() for lobe, part in parts.items() if "middle" not in lobe)
    z, y, _ = (np.argwhere(parts[Lobe.LEFT_UPPER]).mean(axis=0) - np.argwhere(parts[Lobe.LEFT_LOWER]).mean(axis=0)).T
    assert z > 0 > y


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_the_share_is_what_was_asked_for(clear, share):
    chest = planted(clear, share=share)
    assert involvement(chest) == pytest.approx(share, abs=1e-3)
    assert not (chest.opacity & ~(clear.right_lung | clear.left_lung)).any()


def test_opacity_is_where_it_was_asked_for_and_denser_than_before(clear):
    chest = planted(clear, share=0.1, places=[Lobe.LEFT_LOWER])
    assert not (chest.opacity & ~lobes(clear)[Lobe.LEFT_LOWER]).any()
    changed = chest.hounsfield != clear.hounsfield
    assert not (changed & ~chest.opacity).any()
    assert (chest.hounsfield[changed] > clear.hounsfield[changed]).all()
    assert -600 < np.median(chest.hounsfield[chest.opacity]) < -200


def test_more_consolidation_is_denser_and_no_larger(clear):
    hazy, dense = (planted(clear, share=0.2, consolidated=share) for share in (0.1, 0.9))
    np.testing.assert_array_equal(hazy.opacity, dense.opacity)
    assert dense.hounsfield[dense.opacity].mean() > hazy.hounsfield[hazy.opacity].mean() + 300


def test_the_seed_moves_opacity_and_nothing_else(clear):
    first, again, other = (planted(clear, share=0.1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.hounsfield, again.hounsfield)
    assert (first.opacity != other.opacity).any()


def test_the_score_adds_up_the_lobes(clear):
    assert [global_ct_score(planted(clear, share=share)) for share in (0.0, 1.0)] == [0, 25]
    assert global_ct_score(planted(clear, share=0.02, places=[Lobe.RIGHT_LOWER])) == 2


def test_what_does_not_fit_is_refused(clear):
    with pytest.raises(ValueError, match="30% of the lungs do not fit into right middle lobe"):
        planted(clear, share=0.3, places=[Lobe.RIGHT_MIDDLE])
