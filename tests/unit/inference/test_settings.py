"""What a site may choose of a pipeline: `ModelCard.settings`."""

from types import MappingProxyType

import pytest

from inference import registry
from inference.card import ModelCard, Setting, XRayInput, settled, wrong_settings
from node import config
from node.card_page import page
from node.config import ConfigError

CARD = ModelCard(
    name="tuned",
    version="1.0.0",
    title="t",
    purpose="p",
    output="o",
    input=XRayInput(),
    settings={
        "variant": Setting(default="high", choices=("high", "low"), meaning="which blend"),
        "threshold": Setting(default=0.5, meaning="from where on it is positive"),
        "zones": Setting(default=(0.1, 0.9), meaning="values of zones", low=0, high=2),
        "most": Setting(default=5.0, meaning="how many", low=1, high=9, is_whole=True),
    },
)


@pytest.fixture
def tuned(monkeypatch):
    """A registry that knows the pipeline, which keeps what it was given."""

    class Tuned:
        card = CARD

        def __init__(self, weights, settings):
            self.weights, self.settings = weights, settings

    monkeypatch.setattr(registry, "CARDS", MappingProxyType({**registry.CARDS, "tuned": CARD}))
    monkeypatch.setattr("node.contradictions.CARDS", registry.CARDS)
    monkeypatch.setitem(registry._PIPELINES, "tuned", Tuned)


def test_what_is_not_given_is_as_the_card_says():
    assert settled(CARD, {"threshold": 1}) == {"variant": "high", "threshold": 1, "zones": (0.1, 0.9), "most": 5}
    assert settled(CARD, {"most": 9})["most"] == 9
    assert settled(CARD, {"zones": [2, 0.5]})["zones"] == (2, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("variant", "middle", "is one of high, low"),
        ("variant", 1, "is one of high, low"),
        ("threshold", 1.01, "is a number from 0 to 1"),
        ("threshold", True, "is a number from 0 to 1"),
        ("threshold", float("nan"), "is a number from 0 to 1"),
        ("threshold", "0.5", "is a number from 0 to 1"),
        ("zones", [0.1], "is a list of 2 numbers from 0 to 2"),
        ("zones", [0.1, 3], "is a list of 2 numbers from 0 to 2"),
        ("zones", 0.1, "is a list of 2 numbers from 0 to 2"),
        ("zone", 0.1, "there are: variant, threshold, zones, most"),
        ("most", 2.5, "is a whole number from 1 to 9"),
        ("most", 10, "is a whole number from 1 to 9"),
    ],
)
def test_what_cannot_be_is_said_with_what_can(name, value, said):
    (problem,) = wrong_settings(CARD, {name: value})
    assert problem == f"{name} = {value!r}: {said}"
    with pytest.raises(ValueError, match="tuned: "):
        settled(CARD, {name: value})


def test_the_config_gives_them_to_the_pipeline(tuned, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[pipelines.tuned]\nvariant = "low"\nzones = [1, 2]\n')
    given = config.load(path).pipelines["tuned"]
    pipeline = registry.load("tuned", weights=tmp_path, settings=given)
    assert pipeline.settings == {"variant": "low", "threshold": 0.5, "zones": (1, 2), "most": 5}


def test_every_wrong_setting_of_a_config_is_reported_at_once(tuned, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        '[pipelines.tuned]\nvariant = "middle"\nzone = 1\n[pipelines.nope]\na = 1\n'
        "[pipelines.lung-fields]\nthreshold = 0.5\n[dicom]\nport = 70000\n"
    )
    with pytest.raises(ConfigError) as error:
        config.load(path)
    said = str(error.value)
    for needed in (
        "pipelines.tuned.variant = 'middle': is one of high, low",
        "pipelines.tuned.zone = 1: there are: variant, threshold, zones",
        "pipelines.nope: there is no such pipeline; there are: lung-densitometry",
        "pipelines.lung-fields.threshold = 0.5: there are: none",
        "dicom.port = 70000",
    ):
        assert needed in said
    assert len(said.splitlines()) == 5


def test_the_card_lists_them_for_people():
    listed = page(CARD)
    assert "In `[pipelines.tuned]` of config.toml." in listed
    assert "| `variant` | high | which blend | high, low |" in listed
    assert "| `zones` | 0.1, 0.9 | values of zones | 2 numbers 0 to 2 |" in listed
