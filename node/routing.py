"""Rules -> what to run on a settled study and where results go, with the reason for each stack. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.card import ModelCard
from node.config import Rule, Settle
from node.selection import Choice, select
from node.stacks import Stack

_XRAY = frozenset({"CR", "DX"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A stack and what a rule does with it."""

    rule: Rule
    pipeline: ModelCard
    choice: Choice


def route(stacks: Sequence[Stack], rules: Sequence[Rule], cards: Mapping[str, ModelCard]) -> list[Route]:
    """Apply the rules to a study.

    Parameters
    ----------
    stacks : sequence of Stack
        All of the study.
    rules : sequence of Rule
        In the order of the configuration; a rule applies when a stack has its modality.
    cards : Mapping[str, ModelCard]
        By pipeline name.

    Returns
    -------
    list of Route
        For each rule that applies and each of its pipelines, one per stack of the study.
    """
    return [
        Route(rule=rule, pipeline=cards[name], choice=choice)
        for rule in rules
        if any(stack.first.modality == rule.modality for stack in stacks)
        for name in rule.pipelines
        for choice in select(stacks, cards[name])
    ]


def quiet_time_s(modalities: frozenset[str], settle: Settle) -> float:
    """Return how long a study with these modalities must be quiet before it is taken as complete."""
    if modalities and modalities <= _XRAY:
        return settle.quiet_xray_s
    return settle.quiet_ct_s
