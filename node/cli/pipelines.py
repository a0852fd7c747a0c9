"""What can be run: ``pipelines``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from inference.card import ModelCard
from inference.registry import CARDS
from inference.weights.manifest import SLOTS
from inference.weights.shelf import Shelf, Standing, State
from node.card_page import modality, page
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config
from node.config import Config
from node.console import as_json, console
from node.needs import users_of

_COLOURS = {State.PRESENT: "green", State.MISSING: "yellow", State.WRONG: "red"}


@app.command()
def pipelines(
    name: Annotated[str | None, typer.Argument(help="Show the whole model card of this one.")] = None,
    config: ConfigOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the card as Markdown.")] = False,
    json: JsonOption = False,
) -> None:
    """List the pipelines, what they say, whether their weights are here, which rule uses them; or show a model card."""
    if name is not None and name not in CARDS:
        fail(f"there is no pipeline {name}; there are: {', '.join(CARDS)}")
    if markdown:
        if name is None:
            fail("--markdown prints one card: name a pipeline")
        print(page(CARDS[name]), end="")  # noqa: T201 - for a file, not for a terminal
        return
    settings = load_config(config)
    cards = [CARDS[name]] if name else list(CARDS.values())
    if json:
        found = [_plain(card, settings) for card in cards]
        print(as_json(found[0] if name else found))  # noqa: T201 - for a script, not for a terminal
    elif name:
        from rich.markdown import Markdown  # a parser and a highlighter, which nothing else needs

        console.print(Markdown(page(CARDS[name])))
        _show_state(CARDS[name], settings)
    else:
        for card in cards:
            _show(card, settings)
        console.print("opacity-node pipelines NAME shows a whole model card", style="dim", highlight=False)


def _show(card: ModelCard, settings: Config) -> None:
    console.print(f"[bold]{card.name}[/] {card.version} · {modality(card)} · {escape(card.title)}", highlight=False)
    console.print(f"  {escape(card.output)}", highlight=False)
    _show_state(card, settings)
    console.print()


def _show_state(card: ModelCard, settings: Config) -> None:
    standings = _standings(card, settings.storage.weights)
    for standing in standings:
        slot = standing.slot
        what = f"[{_COLOURS[standing.state]}]{standing.state.value}[/]"
        if card.name in slot.optional_for and standing.state is State.MISSING:
            what = "not installed, works without"
        install = "" if standing.state is State.PRESENT else f": {slot.command}"
        console.print(f"  weights {slot.name}: {what}{escape(install)}", highlight=False, soft_wrap=True)
    missing = [standing.slot for standing in standings if standing.state is not State.PRESENT]
    for origin in dict.fromkeys(slot.made_with for slot in missing if slot.made_with):
        console.print(f"  {escape(origin)}", highlight=False, soft_wrap=True)
    if not standings:
        console.print("  weights: it has none", highlight=False)
    used = users_of(settings.rules).get(card.name)
    console.print(f"  used by: {escape(used) if used else 'no rule'}", highlight=False)


def _standings(card: ModelCard, folder: Path) -> list[Standing]:
    shelf = Shelf(folder)
    return [shelf.standing(name, hashed=False) for name in card.weights]


def _plain(card: ModelCard, settings: Config) -> dict[str, Any]:
    return asdict(card) | {
        "modality": modality(card),
        "used_by": users_of(settings.rules).get(card.name),
        "weights": [
            {
                "slot": standing.slot.name,
                "state": standing.state.value,
                "required": card.name in SLOTS[standing.slot.name].required_by,
                "sha256": standing.slot.pin.value if standing.slot.pin else None,
                "install": standing.slot.command,
            }
            for standing in _standings(card, settings.storage.weights)
        ],
    }
