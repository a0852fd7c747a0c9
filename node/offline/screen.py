"""What a person sees at the end of a run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from inference.wording import counted
from node.console import console, findings_table
from node.offline.folder import RUN_FILE, TABLE_FILE
from node.offline.summary import Row, State
from node.offline.visible import visible

_FULL = 25
"""Rows that are shown one by one; of more, every reason with its number."""
_COLOURS = {
    State.SUCCEEDED: "green",
    State.REFUSED: "yellow",
    State.FAILED: "red",
    State.LEFT_OUT: "yellow",
    State.NOT_RUN: "dim",
}


def show_run(rows: Sequence[Row], summaries: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Print what became of every stack, what the first jobs found, and where it is."""
    if len(rows) <= _FULL:
        for row in rows:
            _show_row(row)
    else:
        _show_reasons(rows)
    for summary in summaries:
        console.print(findings_table(dict(summary)))
        for warning in summary["warnings"]:
            _print(f"[yellow]![/] {escape(visible(warning))}")
    succeeded = sum(row.state is State.SUCCEEDED for row in rows)
    if succeeded > len(summaries):
        console.print(f"… and {succeeded - len(summaries)} more: {out / TABLE_FILE}", highlight=False, soft_wrap=True)
    console.print(
        f"{succeeded} of {counted(len(rows), 'image or stack', 'images or stacks')} succeeded · "
        f"{out / TABLE_FILE} · {out / RUN_FILE}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    console.print("[bold]Research use only. Not a medical device.[/]")


def _show_row(row: Row) -> None:
    name = Path(row.path).name if row.images == 1 else f"{row.stack} · {row.images} images"
    said = f"→ {row.folder}" if row.state is State.SUCCEEDED else row.reason
    _print(f"[{_COLOURS[row.state]}]{row.state.value}[/] {escape(name)}: {escape(said)}")


def _show_reasons(rows: Sequence[Row]) -> None:
    """Print each state and reason once; of reasons with numbers in them, the code."""
    for (state, code), number in Counter((row.state, row.code) for row in rows).most_common():
        one = next(row.reason for row in rows if (row.state, row.code) == (state, code))
        example = f", such as: {one}" if one else ""
        _print(f"{number:>6} [{_COLOURS[state]}]{state.value}[/] {escape(code)}{escape(example)}")


def _print(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
