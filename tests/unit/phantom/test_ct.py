import numpy as np
import pytest

from phantom.ct import make_chest


@pytest.fixture(scope="module")
def chest():
    return make_chest()


def test_the_same_arguments_make_the_same_chest(chest):
    np.testing.assert_array_equal(make_chest().hounsfield, chest.hounsfield)


def test_the_seed_changes_noise_and_vessels_but_not_the_lungs(chest):
    other = make_chest(seed=8)
    assert (other.hounsfield != chest.hounsfield).any()
    np.testing.assert_array_equal(other.right_lung, chest.right_lung)


def test_lungs_are_as_large_as_a_persons(chest):
    voxel_ml = np.prod(chest.spacing_mm) / 1000
    assert 1500 < chest.left_lung.sum() * voxel_ml < chest.right_lung.sum() * voxel_ml < 3500


def test_parts_do_not_overlap(chest):
    parts = (chest.right_lung, chest.left_lung, chest.airway, chest.stomach_gas)
    assert np.sum(parts, axis=0).max() == 1
    assert not (chest.opacity & ~(chest.right_lung | chest.left_lung)).any()
    assert (chest.opacity & chest.right_lung).any()
    assert (chest.opacity & chest.left_lung).any()


def test_tissues_have_their_density(chest):
    aerated = (chest.right_lung | chest.left_lung) & ~chest.opacity
    assert np.median(chest.hounsfield[aerated]) == pytest.approx(-850, abs=30)
    assert chest.hounsfield[chest.stomach_gas].mean() < -900
    assert (chest.hounsfield > 220).sum() * np.prod(chest.spacing_mm) / 1000 > 300


def test_two_reconstructions_of_one_patient_agree():
    thin = make_chest(slices=144, rows=128, columns=128, spacing_mm=(2.0, 2.8, 2.8))
    thick = make_chest(slices=58, rows=128, columns=128, spacing_mm=(5.0, 2.8, 2.8))
    volumes = [c.right_lung.sum() * np.prod(c.spacing_mm) for c in (thin, thick)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.02)


def test_without_opacity_nothing_is_planted():
    assert not make_chest(slices=20, rows=64, columns=64, spacing_mm=(14.0, 5.6, 5.6), opacity=False).opacity.any()
