"""Weights of `opacity-boxes` from a site's own images: ``train opacity-boxes``."""

from typing import Annotated, Literal

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


@train_app.command("opacity-boxes")
def opacity_boxes(
    data: DataOption,
    out: OutOption,
    weights: WeightsOption = None,
    start: Annotated[
        Literal["coco", "nothing"],
        typer.Option("--start", help="coco: of the slot fasterrcnn-coco, its head replaced."),
    ] = "coco",
    epochs: Annotated[int | None, epochs_option("10, as the source")] = None,
    batch: Annotated[int | None, batch_option("4")] = None,
    learning_rate: Annotated[float | None, rate_option("0.0001, as the source")] = None,
    momentum: Annotated[
        float | None,
        typer.Option("--momentum", min=0, max=1, show_default="0.9, as the source", help="Of the descent."),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option("--weight-decay", min=0, show_default="0.0005, as the source", help="Of the descent."),
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
    """Boxes round opacity on X-ray: Faster R-CNN, by the numbers of its authors. Wants SIIM's classes of boxes."""
    check_device(device)
    need_lightning()
    with told("--start nothing"):
        from training.opacity_boxes.recipe import How, Sources, make

        how = How(
            changed=given(
                epochs=epochs,
                batch=batch,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
            ),
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
        folder = None if start == "nothing" else weights_in(weights, config)
        card = make(Sources(data=data, out=out, weights=folder), how)
        said = {name: card[name] for name in ("slot", "file", "sha256", "data", "held_out_fold")}
        show(said, {card["slot"]: out / card["file"]})
