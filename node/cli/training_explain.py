"""Weights of `opacity-explain` from a site's own images: ``train opacity-explain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from node.cli.training import show, told, train_app
from node.cli.training_loop import Asked, on_the_loop

if TYPE_CHECKING:
    from training.opacity_explain.numbers import Part

PartName = Literal["all", "lungs", "classifier", "regressor-right", "regressor-left", "map", "map-right", "map-left"]


@train_app.command("opacity-explain")
@on_the_loop(
    epochs="as the source: lungs 100, classifiers 20, regressors 25, maps 30",
    batch="as the source: 32, regressors 50",
    learning_rate="as the source: classifiers 0.00001, regressors 0.00005, lungs and maps 0.0001",
)
def opacity_explain(
    asked: Asked,
    part: Annotated[PartName, typer.Option("--part", help="Which network; all: each after those it needs.")] = "all",
    backbone: Annotated[Literal["both", "b4", "convnext"], typer.Option("--backbone")] = "both",
    lungs: Annotated[
        Path | None,
        typer.Option(
            "--lungs",
            help="Folder with right-lung/NAME.png and left-lung/NAME.png; by default in the folder of --data.",
        ),
    ] = None,
    start: Annotated[
        Literal["imagenet", "nothing"], typer.Option("--start", help="Of classifiers and regressors.")
    ] = "imagenet",
    decay: Annotated[
        float | None,
        typer.Option(
            "--decay",
            min=0,
            max=1,
            show_default="as the source: classifiers 0.5, regressors and maps 0.75",
            help="Of the learning rate, an epoch; 1 is none.",
        ),
    ] = None,
) -> None:
    """Opacity on X-ray, explained: lungs, classifiers, regressors of extent, maps; by the numbers of its authors."""
    with told("--start nothing"):
        from training.opacity_explain.recipe import How, Sources, make

        how = How(**asked.how(decay=decay))
        sources = Sources(
            data=asked.data, out=asked.out, weights=asked.installed, lungs=lungs, is_imagenet=start == "imagenet"
        )
        cards = make(sources, _chosen(part, backbone), how)
        said = {card["slot"]: {name: card[name] for name in ("file", "sha256", "data")} for card in cards}
        show(said, {card["slot"]: asked.out / card["file"] for card in cards})


def _chosen(part: str, backbone: str) -> "list[Part]":
    """Return the parts that were named, each after those that it needs."""
    from training.opacity_explain.numbers import parts

    return [
        one for one in parts() if part in ("all", one.name) and (backbone == "both" or one.backbone in (None, backbone))
    ]
