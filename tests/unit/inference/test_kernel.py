import pytest

from inference.kernel import Sharpness, sharpness


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("B30f", Sharpness.SOFT),
        ("B70f", Sharpness.SHARP),
        ("Br40d\\3", Sharpness.SOFT),
        ("Bl57", Sharpness.SHARP),
        ("I31f\\3", Sharpness.SOFT),
        ("STANDARD", Sharpness.SOFT),
        ("LUNG", Sharpness.SHARP),
        ("BONEPLUS", Sharpness.SHARP),
        ("FC08", Sharpness.SOFT),
        ("FC52", Sharpness.SHARP),
        ("YC", Sharpness.SHARP),
        ("", Sharpness.UNKNOWN),
        ("something", Sharpness.UNKNOWN),
    ],
)
def test_kernels_of_the_vendors_are_classified(kernel, expected):
    assert sharpness(kernel) is expected
