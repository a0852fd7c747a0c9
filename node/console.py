"""What the command line shows: its two consoles, JSON for scripts, and the words that its screens share."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from inference.registry import CARDS
from inference.wording import unit_shown
from node.rules import Rule, asks
from node.selection import modalities_of
from node.stacks import XRAY_MODALITIES

console = Console()
errors = Console(stderr=True)

_COLOURS = {
    "succeeded": "green",
    "settled": "green",
    "sent": "green",
    "committed": "green",
    "running": "cyan",
    "receiving": "cyan",
    "failed": "red",
    "quarantined": "red",
    "held": "yellow",
    "refused": "yellow",
    "warned": "yellow",
    "unsupported": "yellow",
    "cancelled": "dim",
    "unwanted": "dim",
}
_UID_TAIL = 12


def progress() -> Progress:
    """Return a progress bar for counted work."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=errors
    )


def as_json(value: Any) -> str:  # noqa: ANN401 - any record
    """Return a record as JSON; times are ISO 8601 in UTC."""
    plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(plain, default=_plain, indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any record
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def state_shown(state: str) -> str:
    """Return a state in its colour."""
    colour = _COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state


def uid_shown(uid: str) -> str:
    """Return the end of a UID, which tells it from others; commands take it in place of the whole."""
    return uid if len(uid) <= _UID_TAIL else f"…{uid[-_UID_TAIL + 1 :]}"


def time_shown(at: datetime | None, *, today: datetime | None = None) -> str:
    """Return a time in UTC, without its date where it is of today."""
    if at is None:
        return ""
    at = at.astimezone(UTC)
    return f"{at:%H:%M:%S}" if at.date() == (today or datetime.now(UTC)).date() else f"{at:%m-%d %H:%M}"


def listing(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return a table whose rows are one line each; what does not fit ends in an ellipsis."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column in right else "left")
    return table


def hanging(indent: int, sign: str, text: str) -> Padding:
    """Return a text behind a sign, every further line of it as far in as the first."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(sign, Text(text))
    return Padding(grid, (0, 0, 0, indent))


class Footnotes:
    """Long messages, often the same, that stand below a table with a number for each."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, message: str | None) -> str:
        """Return the number of a message; nothing for none."""
        return str(self._numbers.setdefault(message, len(self._numbers) + 1)) if message else ""

    def table(self) -> Table:
        """Return them below each other."""
        grid = Table.grid(padding=(0, 1))
        for message, number in self._numbers.items():
            grid.add_row(f" {number:>2}", Text(message))
        return grid


def show_rule(rule: Rule) -> None:
    """Print what a rule asks and does."""
    lines = (
        ("when", "; ".join(asks(rule.conditions)) or "always"),
        ("runs", "; ".join(_runs(rule))),
        ("results to", (", ".join(rule.destinations) or "nobody") + ("; notices too" if rule.notices else "")),
        ("priority", f"{rule.priority}" + (f" · quiet time {rule.quiet_s:g} s" if rule.quiet_s else "")),
    )
    console.print(f"rule [bold]{escape(rule.name)}[/]", highlight=False)
    console.print(fields_shown(lines))


def _runs(rule: Rule) -> Iterator[str]:
    """Yield which pipelines run on what."""
    xray = [name for name in rule.pipelines if modalities_of(CARDS[name]) == XRAY_MODALITIES]
    others = [name for name in rule.pipelines if name not in xray]
    if others:
        yield f"{', '.join(others)} on {'the best stack' if rule.stacks == 'best' else 'every stack'} that fits"
    if xray:
        yield f"{', '.join(xray)} on every image that fits"


def fields_shown(lines: tuple[tuple[str, str], ...]) -> Table:
    """Return titles and texts below each other."""
    table = Table.grid(padding=(0, 2))
    for title, text in lines:
        table.add_row(f"  [dim]{title}[/]", escape(text))
    return table


def findings_table(summary: dict[str, Any]) -> Table:
    """Return what one job found as a table."""
    algorithm = summary["algorithm"]
    table = Table("where", "what", "value", title=f"{algorithm['name']} {algorithm['version']} · research use only")
    table.columns[2].justify = "right"
    for measurement in summary["measurements"]:
        table.add_row("both lungs", escape(measurement["name"]), _number(measurement))
    for region in summary["regions"]:
        for measurement in region["measurements"]:
            table.add_row(escape(region["label"]), escape(measurement["name"]), _number(measurement))
    for box in summary.get("boxes", ()):  # jobs of earlier versions have none
        table.add_row(escape(box["label"]), f"{escape(box['finding'])}, certainty", f"{100 * box['certainty']:.0f} %")
    return table


def _number(measurement: dict[str, Any]) -> str:
    return f"{measurement['value']:.1f} {escape(unit_shown(measurement['unit']))}".rstrip()
