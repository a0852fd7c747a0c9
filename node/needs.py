"""What settings lack to do their work: rules their weights, destinations the way back to us."""

from collections.abc import Sequence
from pathlib import Path

from handlers.callers import AllowedCaller
from inference.weights import manifest
from inference.weights.refusals import are_many, count_of, install_command, listing_command
from inference.weights.shelf import Shelf, Standing, State
from node.config import Config
from node.rules import Rule


def unmet(rules: Sequence[Rule], folder: Path) -> list[str]:
    """Say what rules lack: a line for each pipeline whose slots are empty though it needs them, or wrongly filled.

    Weights are looked at and not hashed, as the node's start shall not wait for gigabytes; a job hashes them.
    """
    shelf, said = Shelf(folder), []
    for name, users in users_of(rules).items():
        used = [slot for slot in manifest.SLOTS.values() if name in (*slot.required_by, *slot.optional_for)]
        bad = [
            standing
            for standing in (shelf.standing(slot.name, hashed=False) for slot in used)
            if standing.state is State.WRONG or (standing.state is State.MISSING and name in standing.slot.required_by)
        ]
        if bad:
            said.append(f"{name} cannot run ({users}) {_why(name, bad)}")
    return said


def _why(pipeline: str, bad: Sequence[Standing]) -> str:
    slots = [standing.slot for standing in bad]
    if are_many(slots):
        states = " or ".join(dict.fromkeys(standing.state.value for standing in bad))
        return f"with {count_of(slots, pipeline)} {states}: {listing_command(pipeline)}"
    each = ", ".join(f"{standing.slot.name} {standing.state}: {standing.message}" for standing in bad)
    return f"with the weights {each}. To install them: {install_command(slots)}"


def unheard(config: Config) -> list[str]:
    """Say which destinations are asked to confirm storage and may not call us to do so."""
    known = {AllowedCaller.of(text).ae_title for text in config.dicom.calling_ae_titles}
    return [
        f"destination {destination.name} has storage_commitment = true, but {destination.ae_title} is not in "
        "dicom.calling_ae_titles: if it reports on an association of its own, it is rejected. Add it there"
        for destination in config.destinations
        if destination.storage_commitment and known and destination.ae_title not in known
    ]


def unsent(rules: Sequence[Rule]) -> list[str]:
    """Say which rules name no destination: right for a trial, else a mistake that nobody notices."""
    return [
        f"rule {rule.name!r} has no destinations: its results stay in this node's storage and go to nobody. "
        'To send them, name one, such as destinations = ["source"]'
        for rule in rules
        if not rule.destinations
    ]


def users_of(rules: Sequence[Rule]) -> dict[str, str]:
    """Return each pipeline in use, and the rules that name it, for people."""
    users: dict[str, list[str]] = {}
    for rule in rules:
        for pipeline in rule.pipelines:
            users.setdefault(pipeline, []).append(repr(rule.name))
    return {name: f"rule {', '.join(rules)}" for name, rules in users.items()}
