"""Weights of `opacity-explain` from a site's own images: ``train opacity-explain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from node.cli.entry import ConfigOption
from node.cli.offline import check_device
from node.cli.training import (
    DataOption,
    DeviceOption,
    FoldOption,
    FoldsOption,
    LicenceOption,
    OutOption,
    PrecisionOption,
    SeedOption,
    WeightsOption,
    WorkersOption,
    batch_option,
    common,
    epochs_option,
    given,
    need_lightning,
    rate_option,
    show,
    told,
    train_app,
    weights_in,
)

if TYPE_CHECKING:
    from training.opacity_explain.numbers import Part

PartName = Literal["all", "lungs", "classifier", "regressor-right", "regressor-left", "map", "map-right", "map-left"]


@train_app.command("opacity-explain")
def opacity_explain(
    data: DataOption,
    out: OutOption,
    part: Annotated[PartName, typer.Option("--part", help="Which network; all: each after those it needs.")] = "all",
    backbone: Annotated[Literal["both", "b4", "convnext"], typer.Option("--backbone")] = "both",
    lungs: Annotated[
        Path | None,
        typer.Option(
            "--lungs",
            help="Folder with right-lung/NAME.png and left-lung/NAME.png; by default in the folder of --data.",
        ),
    ] = None,
    weights: WeightsOption = None,
    start: Annotated[
        Literal["imagenet", "nothing"], typer.Option("--start", help="Of classifiers and regressors.")
    ] = "imagenet",
    epochs: Annotated[
        int | None, epochs_option("as the source: lungs 100, classifiers 20, regressors 25, maps 30")
    ] = None,
    batch: Annotated[int | None, batch_option("as the source: 32, regressors 50")] = None,
    learning_rate: Annotated[
        float | None, rate_option("as the source: classifiers 0.00001, regressors 0.00005, lungs and maps 0.0001")
    ] = None,
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
    folds: FoldsOption = 5,
    fold: FoldOption = 1,
    seed: SeedOption = 20,
    precision: PrecisionOption = "32-true",
    device: DeviceOption = "cpu",
    workers: WorkersOption = 0,
    licence: LicenceOption = "not stated",
    config: ConfigOption = None,
) -> None:
    """Opacity on X-ray, explained: lungs, classifiers, regressors of extent, maps; by the numbers of its authors."""
    check_device(device)
    need_lightning()
    with told("--start nothing"):
        from training.opacity_explain.recipe import How, Sources, make

        how = How(
            changed=given(epochs=epochs, batch=batch, learning_rate=learning_rate, decay=decay),
            common=common(
                seed=seed,
                folds=folds,
                fold=fold,
                precision=precision,
                device=device,
                workers=workers,
                licence=licence,
            ),
        )
        sources = Sources(
            data=data, out=out, weights=weights_in(weights, config), lungs=lungs, is_imagenet=start == "imagenet"
        )
        cards = make(sources, _chosen(part, backbone), how)
        said = {card["slot"]: {name: card[name] for name in ("file", "sha256", "data")} for card in cards}
        show(said, {card["slot"]: out / card["file"] for card in cards})


def _chosen(part: str, backbone: str) -> "list[Part]":
    """Return the parts that were named, each after those that it needs."""
    from training.opacity_explain.numbers import parts

    return [
        one for one in parts() if part in ("all", one.name) and (backbone == "both" or one.backbone in (None, backbone))
    ]
