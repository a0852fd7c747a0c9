"""Settings as a site writes them in config.toml."""

import pytest

from inference.card import ModelCard, XRayInput, settled
from inference.opacity_ensemble.options import SETTINGS, FloorChoice, Variant, options

CARD = ModelCard(
    name="opacity-ensemble", version="1", title="", purpose="", output="", input=XRayInput(), settings=SETTINGS
)


def test_without_settings_the_defaults_hold():
    chosen = options(settled(CARD, {}))
    assert chosen.variant is Variant.ZONES_HIGH
    assert chosen.threshold == 0.5
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
    chosen = options(settled(CARD, settings))
    assert chosen.has_low_floors is is_low
    assert chosen.texts["floors"] == ("low" if is_low else "high")


def test_results_name_every_setting():
    chosen = options(settled(CARD, {"variant": "weighted", "expert_weights": [0.4, 0.3, 0.2, 0.1]}))
    assert chosen.texts == {
        "variant": "weighted",
        "threshold": "0.5",
        "zone_values": "0.4 0.6 0.8 0.95",
        "expert_weights": "0.4 0.3 0.2 0.1",
        "floors": "high",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("variant", "zones"),
        ("floors", "none"),
        ("threshold", "half"),
        ("threshold", 1.2),
        ("zone_values", [0.2, 0.4, 0.6]),
        ("zone_values", [0.2, 0.4, 0.6, 1.6]),
        ("expert_weights", [0, 0, 0, 0]),
    ],
    ids=str,
)
def test_a_setting_without_meaning_is_refused_when_it_is_read(name, value):
    with pytest.raises(ValueError, match=name):
        settled(CARD, {name: value})
