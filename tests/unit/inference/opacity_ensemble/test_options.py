"""Settings as a site writes them."""

import pytest

from inference.opacity_ensemble.options import DEFAULTS, FloorChoice, SettingError, Variant, options


def test_without_settings_the_defaults_hold():
    chosen = options({})
    assert chosen == options(DEFAULTS)
    assert chosen.variant is Variant.ZONES_HIGH
    assert chosen.zone_values == (0.4, 0.6, 0.8, 0.95)
    assert chosen.expert_weights == (0.25, 0.25, 0.25, 0.25)
    assert chosen.floors is FloorChoice.PUBLISHED


@pytest.mark.parametrize(
    ("settings", "is_low"),
    [
        ({"variant": "zones-high"}, False),
        ({"variant": "weighted"}, False),
        ({"variant": "zones-low"}, True),
        ({"variant": "zones-low", "floors": "high"}, False),
        ({"variant": "weighted", "floors": "low"}, True),
    ],
    ids=["zones-high", "weighted", "zones-low", "zones-low-high", "weighted-low"],
)
def test_floors_go_with_the_variant_unless_they_are_chosen(settings, is_low):
    assert options(settings).has_low_floors is is_low


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"variants": "weighted"}, "has no setting 'variants'"),
        ({"variant": "zones"}, "give one of zones-high, weighted, zones-low"),
        ({"floors": "none"}, "give one of published, high, low"),
        ({"threshold": "half"}, "threshold = 'half': give a number"),
        ({"threshold": "1.2"}, "none may be above 1"),
        ({"zone_values": "0.2 0.4 0.6"}, "give 4 numbers, separated by blanks"),
        ({"zone_values": "0.2 0.4 0.6 1.6"}, "none may be above 1"),
        ({"zone_values": "0.9 0.4 0.6 0.8"}, "zone_values must ascend"),
        ({"expert_weights": "1 2 3 -4"}, "give 4 numbers"),
        ({"expert_weights": "1 2 3 nan"}, "give 4 numbers"),
        ({"expert_weights": "0 0 0 0"}, "one of them must be above 0"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_a_setting_without_meaning_says_what_it_may_be(settings, said):
    with pytest.raises(SettingError, match=said):
        options(settings)
