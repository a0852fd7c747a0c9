"""What ``models list`` shows: each slot, what lies in it, and what it is for."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from inference.registry import CARDS
from inference.weights.manifest import Slot
from inference.weights.shelf import Standing, State
from node.config import Config
from node.needs import users_of

_LICENCE_WIDTH = len("Apache-2.0")
"""A licence's name stands whole in the narrowest terminal."""
_COLOURS = {State.PRESENT: "green", State.MISSING: "dim", State.WRONG: "red"}


def weights_table(standings: Sequence[Standing], settings: Config) -> Table:
    """Return a table of slots; first those that pipelines run on, then, as a group of their own, the others."""
    table = Table("slot", "state", "sha256", "licence", "for", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title, table.title_justify = f"weights in {settings.storage.weights}", "left"
    for column in table.columns:
        column.no_wrap, column.overflow = column.header in ("slot", "state", "sha256"), "fold"
        column.min_width = _LICENCE_WIDTH if column.header == "licence" else None
    users = users_of(settings.rules)
    run = [s for s in standings if _is_run_on(s.slot)]
    others = [s for s in standings if not _is_run_on(s.slot)]
    last = run[-1] if run and others else None
    for standing in (*run, *others):
        slot = standing.slot
        table.add_row(
            slot.name,
            f"[{_COLOURS[standing.state]}]{_state(standing)}[/]",
            (standing.sha256 or "")[:8],
            escape(standing.licence),
            escape("\n".join(_uses(standing, users))),
            end_section=standing is last,
        )
    if last is not None:
        table.caption, table.caption_justify = "last group: weights that no pipeline runs on", "left"
    return table


def _state(standing: Standing) -> str:
    return "shipped" if standing.slot.shipped and standing.state is State.PRESENT else standing.state.value


def _is_run_on(slot: Slot) -> bool:
    return any(name in CARDS for name in (*slot.required_by, *slot.optional_for))


def _uses(standing: Standing, users: dict[str, str]) -> list[str]:
    slot, there = standing.slot, standing.state is State.PRESENT
    said = [_use(name, users, "used by" if there else "needed by") for name in slot.required_by]
    said += [_use(name, users, "used by" if there else "would be used by", " (optional)") for name in slot.optional_for]
    return [*said, *(f"training {name}" for name in slot.training_start_for)] or ["nothing yet"]


def _use(name: str, users: dict[str, str], how: str, kind: str = "") -> str:
    return f"{name}{kind}" + (f", {how} {users[name]}" if name in users else "")
