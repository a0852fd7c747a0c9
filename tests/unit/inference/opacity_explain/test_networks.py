"""Which weights are asked for what, and that both backbones count alike."""

import numpy as np
import pytest

from inference.networks.answers import Answers
from inference.networks.encoders import Backbone
from inference.networks.explained import Kind, Scored
from inference.opacity_explain import networks
from inference.opacity_explain.decisions import Side
from inference.opacity_explain.networks import ExplainNetworks
from inference.pipelines.opacity_explain import CARD

VALUES = {name: number / 64 for number, name in enumerate(CARD.weights)}
"""What the network of each slot says."""


@pytest.fixture
def asked(monkeypatch):
    def answers(values):
        return Answers(each=tuple(values), parameters={"device": "cpu"}, warnings=("slow",))

    def scored(slot, backbone, kind, views, _):
        assert slot.endswith(backbone)
        assert (kind is Kind.CLASSIFIER) == ("classifier" in slot)
        return answers(Scored(score=VALUES[slot], known=view, size=(2, 2)) for view in views)

    def mapped(slot, backbone, seen, _):
        assert slot.endswith(backbone)
        return answers(np.full((2, 2), VALUES[slot], dtype=np.float32) + one.known for one in seen)

    monkeypatch.setattr(networks, "scored", scored)
    monkeypatch.setattr(networks, "mapped", mapped)
    return ExplainNetworks({name: name for name in CARD.weights}, "cpu")


def of(part):
    return [VALUES[f"opacity-explain-{part}-{backbone}"] for backbone in Backbone]


def test_every_question_goes_to_both_backbones_with_the_weights_of_its_side(asked):
    views = [np.zeros((2, 2), dtype=np.float32), np.full((2, 2), 0.5, dtype=np.float32)]
    classified = asked.classify(views)
    assert [list(scores.values()) for scores, _ in classified] == [of("classifier")] * 2
    assert list(classified[0][0]) == ["EfficientNet-B4", "ConvNeXt-tiny"]
    for side in Side:
        measured = asked.measure(side, views)
        assert [list(scores.values()) for scores, _ in measured] == [of(f"regressor-{side}")] * 2
        maps = asked.map(side, [seen for _, seen in measured])
        assert [values[0, 0] for values in maps] == pytest.approx(
            [np.mean(of(f"map-{side}")) + add for add in (0, 0.5)]
        )
    maps = asked.map(None, [seen for _, seen in classified])
    assert [values[0, 0] for values in maps] == pytest.approx([np.mean(of("map")) + add for add in (0, 0.5)])
    assert asked.parameters == {"device": "cpu"}
    assert asked.warnings == ("slow",)
