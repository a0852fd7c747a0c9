"""What settings say against each other: names that are taken twice or that nobody bears.

Sought in plain tables, as a file gives them, so that it is found whatever else may be wrong with them.
"""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from inference.card import wrong_settings
from inference.registry import CARDS
from node.rules import MODALITIES, SOURCE
from node.selection import modalities_of

Table = Mapping[str, Any]


def contradictions(destinations: Sequence[Table], rules: Sequence[Table], pipelines: Table) -> list[str]:
    """Return every contradiction with its place and remedy; `pipelines` are the tables of settings by name."""
    names = [name for table in destinations if isinstance(name := table.get("name"), str)]
    found = [*_doubled("destinations", destinations), *_doubled("rules", rules)]
    for index, rule in enumerate(rules):
        found += [f"rules[{index}].{problem}" for problem in _of_rule(rule, names)]
    return [*found, *_of_pipelines(pipelines)]


def unbelieved(destinations: Sequence[Table], dicom: object) -> Iterator[str]:
    """Yield destinations that are called over TLS where nothing says whose certificates to believe."""
    tls = dicom.get("tls") if isinstance(dicom, Mapping) else None
    if isinstance(tls, Mapping) and tls.get("ca"):
        return
    for index, table in enumerate(destinations):
        if table.get("tls"):
            yield (
                f"destinations[{index}].tls: destination {table.get('name')!r} has tls = true, but [dicom.tls] has no "
                "ca, by which its certificate is checked; give it"
            )


def _doubled(section: str, tables: Sequence[Table]) -> Iterator[str]:
    counts = Counter(name for table in tables if isinstance(name := table.get("name"), str))
    for name, count in counts.items():
        if count > 1:
            yield f"{section}: {count} [[{section}]] are named {name!r}; give each its own name"


def _of_rule(rule: Table, destinations: Sequence[str]) -> Iterator[str]:
    about = f"rule {rule.get('name')!r}"
    for name in _unknown(rule.get("pipelines"), CARDS):
        yield f"pipelines: {about} names the pipeline {name!r}; there are: {', '.join(CARDS)}"
    yield from _never_meet(rule, about)
    for name in _unknown(rule.get("destinations"), (*destinations, SOURCE)):
        yield f"destinations: {about} names the destination {name!r}; there are: {', '.join((*destinations, SOURCE))}"
    if _when(rule).get("modality") and rule.get("modality"):
        yield f"when.modality: {about} asks for a modality twice; leave one out"
    if rule.get("notices") and not rule.get("destinations"):
        yield f"notices: {about} has no destinations that its notices could go to; name one"


def _of_pipelines(pipelines: Table) -> Iterator[str]:
    for name, given in pipelines.items():
        if name not in CARDS:
            yield f"pipelines.{name}: there is no such pipeline; there are: {', '.join(CARDS)}"
        elif isinstance(given, Mapping):
            yield from (f"pipelines.{name}.{problem}" for problem in wrong_settings(CARDS[name], given))


def _never_meet(rule: Table, about: str) -> Iterator[str]:
    """Yield pipelines that read none of the modalities that a rule asks for."""
    asked = _modalities(rule.get("modality")) or _modalities(_when(rule).get("modality"))
    named = rule.get("pipelines")
    for name in named if asked and isinstance(named, list | tuple) else ():
        card = CARDS.get(name) if isinstance(name, str) else None
        if card is not None and asked.isdisjoint(read := modalities_of(card)):
            these = ", ".join(f'"{modality}"' for modality in sorted(read))
            yield (
                f"pipelines: {about} is for {' and '.join(sorted(asked))}, which {name!r} does not read; "
                f"give it a rule with modality = [{these}]"
            )


def _modalities(given: object) -> frozenset[str]:
    several = (given,) if isinstance(given, str) else given
    if not isinstance(several, list | tuple):
        return frozenset()
    asked = frozenset(m.upper() for m in several if isinstance(m, str))
    return asked if asked <= MODALITIES else frozenset()  # a name that there is not is an error of its own


def _when(rule: Table) -> Table:
    when = rule.get("when")
    return when if isinstance(when, Mapping) else {}


def _unknown(named: object, known: Container[object]) -> list[str]:
    if not isinstance(named, list | tuple):
        return []
    return [name for name in named if isinstance(name, str) and name not in known]
