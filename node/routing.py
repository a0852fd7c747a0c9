"""Rules -> what to run on a settled study and where results go, with the reason for each stack. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from db.repository.settling import Arrival, StoredInstance
from inference.card import ModelCard
from inference.findings import Refusal
from node.choices import Choice
from node.rules import SOURCE, Origin, Rule, judge
from node.sections import Destination, Settle
from node.selection import plausibility, rejected_by, select
from node.stacks import XRAY_MODALITIES, Stack

EXCLUDED = "rule"
"""Code of the decision about a stack that a rule's conditions exclude."""
_CANDIDATES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A stack and what a rule does with it.

    Attributes
    ----------
    destinations : tuple of str
        Names of configured destinations; `source` is resolved.
    refusal : Refusal or None
        What a notice about this stack tells the destinations: nothing in the study fits.
    """

    rule: Rule
    pipeline: ModelCard
    choice: Choice
    destinations: tuple[str, ...]
    refusal: Refusal | None = None


def route(
    stacks: Sequence[Stack],
    came: Mapping[str, Origin],
    *,
    rules: Sequence[Rule],
    destinations: Sequence[Destination],
    cards: Mapping[str, ModelCard],
) -> list[Route]:
    """Apply the rules to a study.

    Parameters
    ----------
    stacks : sequence of Stack
        All of the study.
    came : Mapping[str, Origin]
        How each instance came, by SOP Instance UID.
    rules : sequence of Rule
        In the order of the configuration.
    destinations : sequence of Destination
        All that are configured.
    cards : Mapping[str, ModelCard]
        By pipeline name.

    Returns
    -------
    list of Route
        For each rule that applies and each of its pipelines, one per stack of the study.
    """
    routes = []
    for rule in rules:
        if not applies(rule, stacks):
            continue
        for name in rule.pipelines:
            choices = _choices(rule, cards[name], stacks, came)
            refusals = _refusals(rule, cards[name], choices)
            for choice in choices:
                goes_to, remark = _resolve(rule, origin_of(choice.stack, came), destinations)
                refusal = refusals.get(id(choice))
                tells = replace(choice, reason=f"{choice.reason} {remark}") if choice.runs and remark else choice
                routes.append(
                    Route(rule=rule, pipeline=cards[name], choice=tells, destinations=goes_to, refusal=refusal)
                )
    return routes


def applies(rule: Rule, stacks: Sequence[Stack]) -> bool:
    """Say whether a rule has to do with a study: it asks for no modality, or for one that is there."""
    wanted = rule.conditions.modality
    return wanted is None or any(stack.first.modality in wanted for stack in stacks)


def origins(instances: Iterable[StoredInstance]) -> dict[str, Origin]:
    """Return how each instance came, by SOP Instance UID."""
    return {
        instance.sop_instance_uid: Origin(
            calling_ae_title=instance.calling_ae_title,
            called_ae_title=instance.called_ae_title,
            received_at=instance.received_at,
        )
        for instance in instances
    }


def origin_of(stack: Stack, came: Mapping[str, Origin]) -> Origin:
    """Return how the newest instance of a stack came."""
    return max((came[i.sop_instance_uid] for i in stack.instances), key=lambda origin: origin.received_at)


def quiet_time_s(arrivals: frozenset[Arrival], rules: Sequence[Rule], settle: Settle) -> float:
    """Return how long a study must be quiet before it is taken as complete.

    The longest of the rules that may apply, as far as modality and AE titles say; a rule without a time of its own
    counts with that of the modality.
    """
    xray = bool(arrivals) and {arrival.modality for arrival in arrivals} <= XRAY_MODALITIES
    usual_s = settle.quiet_xray_s if xray else settle.quiet_ct_s
    return max((rule.quiet_s or usual_s for rule in rules if _may_apply(rule, arrivals)), default=usual_s)


def _may_apply(rule: Rule, arrivals: frozenset[Arrival]) -> bool:
    when = rule.conditions
    return any(
        (when.modality is None or arrival.modality in when.modality)
        and (when.calling_ae_title is None or arrival.calling_ae_title in when.calling_ae_title)
        and (when.called_ae_title is None or arrival.called_ae_title in when.called_ae_title)
        for arrival in arrivals
    )


def _choices(rule: Rule, card: ModelCard, stacks: Sequence[Stack], came: Mapping[str, Origin]) -> list[Choice]:
    """Choose among the stacks that meet the rule's conditions; the others keep which of them they do not."""
    unmet = {
        id(stack): [v for v in judge(rule.conditions, stack, origin_of(stack, came)) if not v.met] for stack in stacks
    }
    rejected = rejected_by(stacks)  # the rule's conditions exclude key objects
    meeting = [stack for stack in stacks if not unmet[id(stack)]]
    chosen = {id(c.stack): c for c in select(meeting, card, every=rule.stacks == "all", rejected=rejected)}
    return [
        chosen.get(id(stack))
        or Choice(
            stack=stack,
            runs=False,
            code=EXCLUDED,
            reason=f"Excluded by the rule: {'; '.join(map(str, unmet[id(stack)]))}.",
        )
        for stack in stacks
    ]


def _refusals(rule: Rule, card: ModelCard, choices: Sequence[Choice]) -> dict[int, Refusal]:
    """Return what a notice tells, by the id of the choice that stands for the study; empty where there is none.

    Only stacks that meet the rule's conditions count: what the rule does not ask for is no news.
    """
    refused = [choice for choice in choices if choice.refusal is not None]
    if not rule.notices or not refused or any(choice.runs for choice in choices):
        return {}
    candidates = sorted(refused, key=lambda choice: plausibility(choice.stack, card), reverse=True)[:_CANDIDATES]
    reasons = " ".join(f"{_brief(c.stack)}: {c.refusal.reason}" for c in candidates if c.refusal)
    remedies = dict.fromkeys(c.refusal.remedy for c in candidates if c.refusal and c.refusal.remedy)
    refusal = Refusal(
        code="nothing-fits",
        reason=f"None of the images chosen for {card.name} fit it. {reasons}",
        remedy=" ".join(remedies) or "If the study should hold images that fit, send them again.",
    )
    return {id(candidates[0]): refusal}


def _brief(stack: Stack) -> str:
    """Name a stack by numbers alone: descriptions may say more than a log should."""
    number, count = stack.first.series_number, len(stack.instances)
    return f"Series {'without number' if number is None else number} ({count} image{'s' if count != 1 else ''})"


def _resolve(rule: Rule, origin: Origin, destinations: Sequence[Destination]) -> tuple[tuple[str, ...], str]:
    """Return the names of a rule's destinations, and what must be said where `source` leads nowhere."""
    back = next((d.name for d in destinations if d.ae_title == origin.calling_ae_title), None)
    names = [back if name == SOURCE else name for name in rule.destinations]
    known = tuple(dict.fromkeys(name for name in names if name is not None))
    if back is not None or SOURCE not in rule.destinations:
        return known, ""
    whereto = f"they go to {', '.join(known)} only" if known else "they are kept here"
    return known, f"No destination has the AE title of the source, {origin.calling_ae_title!r}: {whereto}."
