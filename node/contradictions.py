"""What settings say against each other: names that are taken twice or that nobody bears.

Sought in plain tables, as a file gives them, so that it is found whatever else may be wrong with them.
"""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from inference.registry import CARDS
from node.rules import SOURCE

Table = Mapping[str, Any]


def contradictions(destinations: Sequence[Table], rules: Sequence[Table]) -> list[str]:
    """Return every contradiction with its place and remedy."""
    names = [name for table in destinations if isinstance(name := table.get("name"), str)]
    found = [*_doubled("destinations", destinations), *_doubled("rules", rules)]
    for index, rule in enumerate(rules):
        found += [f"rules[{index}].{problem}" for problem in _of_rule(rule, names)]
    return found


def _doubled(section: str, tables: Sequence[Table]) -> Iterator[str]:
    counts = Counter(name for table in tables if isinstance(name := table.get("name"), str))
    for name, count in counts.items():
        if count > 1:
            yield f"{section}: {count} [[{section}]] are named {name!r}; give each its own name"


def _of_rule(rule: Table, destinations: Sequence[str]) -> Iterator[str]:
    about = f"rule {rule.get('name')!r}"
    for name in _unknown(rule.get("pipelines"), CARDS):
        yield f"pipelines: {about} names the pipeline {name!r}; there are: {', '.join(CARDS)}"
    for name in _unknown(rule.get("destinations"), (*destinations, SOURCE)):
        yield f"destinations: {about} names the destination {name!r}; there are: {', '.join((*destinations, SOURCE))}"
    when = rule.get("when")
    if isinstance(when, Mapping) and when.get("modality") and rule.get("modality"):
        yield f"when.modality: {about} asks for a modality twice; leave one out"
    if rule.get("notices") and not rule.get("destinations"):
        yield f"notices: {about} has no destinations that its notices could go to; name one"


def _unknown(named: object, known: Container[object]) -> list[str]:
    if not isinstance(named, list | tuple):
        return []
    return [name for name in named if isinstance(name, str) and name not in known]
