"""A study and a configuration -> every rule and every stack, condition by condition, for a person to read. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from db.repository.deciding import Decided
from db.repository.settling import Arrival, JobKey, StoredInstance
from inference.card import ModelCard
from node.config import Config
from node.header import InstanceHeader
from node.removed_input import with_input
from node.routing import Route, applies, origin_of, origins, quiet_time_s, route
from node.rules import Origin, Rule, Verdict, judge
from node.stacks import Stack, split


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineOutcome:
    """What a pipeline does with a stack; `notice` is what the destinations are told instead of a result."""

    pipeline: str
    runs: bool
    code: str
    reason: str
    destinations: tuple[str, ...]
    notice: str | None
    decided_otherwise: bool
    """Whether the pipeline runs by this configuration and was not to run by what was decided, or the other way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StackExplained:
    """A stack under a rule."""

    stack: str
    instances: int
    calling_ae_title: str
    called_ae_title: str
    verdicts: tuple[Verdict, ...]
    outcomes: tuple[PipelineOutcome, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleExplained:
    """A rule on a study; `stacks` is empty where it does not apply."""

    rule: Rule
    applies: bool
    stacks: tuple[StackExplained, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """All rules on a study."""

    study_instance_uid: str
    modalities: tuple[str, ...]
    instances: int
    stacks: int
    quiet_s: float
    decided_at: datetime | None
    rules: tuple[RuleExplained, ...]


def explain(
    study_instance_uid: str,
    instances: Sequence[StoredInstance],
    config: Config,
    cards: Mapping[str, ModelCard],
    ended: Collection[JobKey] = (),
    decided: Decided | None = None,
) -> Explanation:
    """Explain what a configuration does with a study.

    Parameters
    ----------
    study_instance_uid : str
        Of the study.
    instances : sequence of StoredInstance
        Its current instances.
    config : Config
        That of the node, or one to be tried.
    cards : Mapping[str, ModelCard]
        By pipeline name.
    ended : collection of JobKey
        Jobs that ended well: they need no images any more, should those have been removed.
    decided : Decided or None
        What was decided about the study; None where it is not to be compared with that.
    """
    stacks = split(InstanceHeader.from_json(row.header) for row in instances)
    came = origins(instances)
    routed = route(stacks, came, rules=config.rules, destinations=config.destinations, cards=cards)
    stored = {row.sop_instance_uid: row for row in instances}
    routes = [with_input(item, stored, ended) for item in routed]
    otherwise = _decided_otherwise(routes, stored, decided)
    return Explanation(
        study_instance_uid=study_instance_uid,
        modalities=tuple(sorted({stack.first.modality or "none" for stack in stacks})),
        instances=len(instances),
        stacks=len(stacks),
        quiet_s=quiet_time_s(_arrivals(stacks, came), config.rules, config.settle),
        decided_at=decided.at if decided else None,
        rules=tuple(
            RuleExplained(
                rule=rule,
                applies=applies(rule, stacks),
                stacks=tuple(_stacks(rule, stacks, came, [r for r in routes if r.rule is rule], otherwise)),
            )
            for rule in config.rules
        ),
    )


def _arrivals(stacks: Iterable[Stack], came: Mapping[str, Origin]) -> frozenset[Arrival]:
    return frozenset(
        Arrival(
            modality=instance.modality,
            calling_ae_title=came[instance.sop_instance_uid].calling_ae_title,
            called_ae_title=came[instance.sop_instance_uid].called_ae_title,
        )
        for stack in stacks
        for instance in stack.instances
    )


def _decided_otherwise(
    routes: Sequence[Route], stored: Mapping[str, StoredInstance], decided: Decided | None
) -> Sequence[Route]:
    """Return the routes whose pipeline runs on their stack and was not to, or does not by any rule and was to."""
    if decided is None:
        return ()
    keys = [
        (stored[item.choice.stack.first.sop_instance_uid].series_id, item.choice.stack.label, item.pipeline.name)
        for item in routes
    ]
    running = {key for key, item in zip(keys, routes, strict=True) if item.choice.runs}
    return [
        item
        for key, item in zip(keys, routes, strict=True)
        if (key in running) != (key in decided.runs) and item.choice.runs == (key in running)
    ]


def _stacks(
    rule: Rule, stacks: Iterable[Stack], came: Mapping[str, Origin], routes: Sequence[Route], otherwise: Sequence[Route]
) -> Iterable[StackExplained]:
    for stack in stacks if routes else ():
        origin = origin_of(stack, came)
        yield StackExplained(
            stack=stack.label,
            instances=len(stack.instances),
            calling_ae_title=origin.calling_ae_title,
            called_ae_title=origin.called_ae_title,
            verdicts=tuple(judge(rule.conditions, stack, origin)),
            outcomes=tuple(
                _outcome(item, any(item is other for other in otherwise))
                for item in routes
                if item.choice.stack is stack
            ),
        )


def _outcome(item: Route, decided_otherwise: bool) -> PipelineOutcome:
    return PipelineOutcome(
        pipeline=item.pipeline.name,
        runs=item.choice.runs,
        code=item.choice.code,
        reason=item.choice.reason,
        destinations=item.destinations if item.choice.runs or item.refusal else (),
        notice=None if item.refusal is None else str(item.refusal),
        decided_otherwise=decided_otherwise,
    )
