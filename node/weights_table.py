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
    """Return a table of slots; first those of pipelines that this release has."""
    table = Table("slot", "state", "sha256", "licence", "for", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title, table.title_justify = f"weights in {settings.storage.weights}", "left"
    for column in table.columns:
        column.no_wrap, column.overflow = column.header in ("slot", "state", "sha256"), "fold"
        column.min_width = _LICENCE_WIDTH if column.header == "licence" else None
    users = users_of(settings.rules)
    here = [s for s in standings if _of_this_release(s.slot)]
    later = [s for s in standings if not _of_this_release(s.slot)]
    last = here[-1] if here and later else None
    for standing in (*here, *later):
        slot = standing.slot
        table.add_row(
            slot.name,
            f"[{_COLOURS[standing.state]}]{_state(standing)}[/]",
            (standing.sha256 or "")[:8],
            escape(slot.licence),
            escape("\n".join(_uses(standing, users))),
            style="dim" if standing in later else "",
            end_section=standing is last,
        )
    if later:
        table.caption, table.caption_justify = "dim: of pipelines that this release does not have", "left"
    return table


def _state(standing: Standing) -> str:
    return "shipped" if standing.slot.shipped and standing.state is State.PRESENT else standing.state.value


def _of_this_release(slot: Slot) -> bool:
    return any(name in CARDS for name in (*slot.required_by, *slot.optional_for))


def _uses(standing: Standing, users: dict[str, str]) -> list[str]:
    slot, there = standing.slot, standing.state is State.PRESENT
    said = [_use(name, users, "used by" if there else "needed by") for name in slot.required_by]
    said += [_use(name, users, "used by" if there else "would be used by", " (optional)") for name in slot.optional_for]
    return [*said, *(f"training {name}" for name in slot.training_start_for)]


def _use(name: str, users: dict[str, str], how: str, kind: str = "") -> str:
    return f"{name}{kind}" + (f", {how} {users[name]}" if name in users else "")
