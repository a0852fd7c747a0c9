"""Write docs/pipelines: one page for each pipeline, from its model card; what is written by hand below it stays.

.venv/bin/python scripts/pipeline_pages.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inference.card import ModelCard
from inference.registry import CARDS
from node.card_page import END, page

FOLDER = Path(__file__).resolve().parents[1] / "docs/pipelines"


def whole_page(card: ModelCard) -> str:
    """Return a page as it shall be: the card, then what its file holds below."""
    path = FOLDER / f"{card.name}.md"
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    _, marker, by_hand = written.partition(END)
    return f"{page(card)}\n{END}\n" + (by_hand.removeprefix("\n") if marker else "")


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for card in CARDS.values():
        (FOLDER / f"{card.name}.md").write_text(whole_page(card), encoding="utf-8")


if __name__ == "__main__":
    main()
