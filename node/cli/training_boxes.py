"""Weights of `opacity-boxes` from a site's own images: ``train opacity-boxes``."""

from typing import Annotated, Literal

import typer

from node.cli.training import show, told, train_app
from node.cli.training_loop import Asked, on_the_loop


@train_app.command("opacity-boxes")
@on_the_loop(epochs="10, as the source", batch="4", learning_rate="0.0001, as the source")
def opacity_boxes(
    asked: Asked,
    start: Annotated[
        Literal["coco", "nothing"],
        typer.Option("--start", help="coco: of the slot fasterrcnn-coco, its head replaced."),
    ] = "coco",
    momentum: Annotated[
        float | None,
        typer.Option("--momentum", min=0, max=1, show_default="0.9, as the source", help="Of the descent."),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option("--weight-decay", min=0, show_default="0.0005, as the source", help="Of the descent."),
    ] = None,
) -> None:
    """Boxes round opacity on X-ray: Faster R-CNN, by the numbers of its authors. Wants SIIM's classes of boxes."""
    with told("--start nothing"):
        from training.opacity_boxes.recipe import How, Sources, make

        how = How(**asked.how(momentum=momentum, weight_decay=weight_decay))
        folder = None if start == "nothing" else asked.installed
        card = make(Sources(data=asked.data, out=asked.out, weights=folder), how)
        said = {name: card[name] for name in ("slot", "file", "sha256", "data", "held_out_fold")}
        show(said, {card["slot"]: asked.out / card["file"]})
