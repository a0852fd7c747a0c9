"""Weights from a site's own images: ``train``, a command for each recipe."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

import typer

from inference.findings import SelectionRefusedError
from inference.weights import WeightsRefusedError
from node.cli.entry import ConfigOption, app, fail, load_config
from node.cli.offline import check_device
from node.console import errors

_INTERRUPTED, _TERMINATED = 130, 143
_OF_TIMM = "`torch.jit.interface` is deprecated"

train_app = typer.Typer(
    no_args_is_help=True,
    help="Train weights on your own images, for the slots that `models add` fills. docs/training.md tells the rest.",
)
app.add_typer(train_app, name="train")

OutOption = Annotated[Path, typer.Option("--out", help="Folder to write to; called again, it goes on there.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Folder of installed weights; by default that of config.toml.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda:0, ...")]


def epochs_option(default: str) -> Any:  # noqa: ANN401 - typer's
    """Return ``--epochs``; the recipe knows its default, the help says it."""
    return typer.Option("--epochs", min=1, show_default=default, help="Passes over all images.")


def batch_option(default: str) -> Any:  # noqa: ANN401 - typer's
    """Return ``--batch``, likewise."""
    return typer.Option("--batch", min=1, show_default=default, help="Images a step.")


def rate_option(default: str) -> Any:  # noqa: ANN401 - typer's
    """Return ``--learning-rate``, likewise."""
    return typer.Option("--learning-rate", min=0, show_default=default, help="To begin with.")


@contextmanager
def told(without_start: str = "") -> Iterator[None]:
    """End saying what a person can put right, or that the same command goes on.

    Parameters
    ----------
    without_start : str, optional
        What begins the training without the weights that it can start from.
    """
    from training.errors import TrainingError

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_OF_TIMM, category=FutureWarning)
            yield
    except WeightsRefusedError as error:
        starts = ", ".join(slot.name for slot in error.slots if slot.training_start_for)
        fail(f"{error} To train without {starts}: {without_start}." if starts and without_start else str(error))
    except (TrainingError, SelectionRefusedError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except (KeyboardInterrupt, SystemExit) as ended:
        errors.print("broken off; the same command goes on", style="red")
        raise typer.Exit(_TERMINATED if isinstance(ended, SystemExit) else _INTERRUPTED) from None


def need_lightning() -> None:
    """End saying how to install what trains, if it is not there."""
    if find_spec("pytorch_lightning") is None:
        fail("this recipe needs pytorch-lightning: install opacity-node[train], or pytorch-lightning beside it")


def given(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - of any kind
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def weights_in(named: Path | None, config: Path | None) -> Path:
    """Return the weights folder that was named, or the node's own."""
    return named or load_config(config).storage.weights


def show(said: Mapping[str, Any], made: Mapping[str, Path]) -> None:
    """Print what was made; and, beside the JSON, how the file of each slot is installed."""
    print(json.dumps(said, indent=2))  # noqa: T201 - a command's answer
    for slot, path in made.items():
        errors.print(
            f"next: opacity-node models add {slot} {quote(str(path))}", highlight=False, markup=False, soft_wrap=True
        )


@train_app.command("lung-fields")
def lung_fields(
    data: Annotated[Path, typer.Option("--data", help="Folder with index.csv, images/ and masks/.")],
    out: OutOption,
    ct: Annotated[
        Path | None, typer.Option("--ct", help="Folder of a chest CT, whose planes are to be told from X-rays.")
    ] = None,
    epochs: Annotated[int | None, epochs_option("80")] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Folds at a time, of one thread each.")] = 2,
) -> None:
    """Lungs on X-ray: cross-validated by patient, then trained on all. How the weights that come with it were made."""
    with told():
        from training.lung_fields.fitting import Recipe
        from training.lung_fields.recipe import make

        record = make(data, out, Recipe() if epochs is None else Recipe(epochs=epochs), ct=ct, processes=processes)
        show(record["unseen_patients"], {})


@train_app.command("ct-severity")
def ct_severity(
    data: Annotated[Path, typer.Option("--data", help="Folder in which the folders of the table lie.")],
    labels: Annotated[Path, typer.Option("--labels", help="Table of what is known: docs/training.md.")],
    out: OutOption,
    weights: WeightsOption = None,
    network: Annotated[Literal["ltc", "i3d"], typer.Option("--network")] = "ltc",
    start: Annotated[Literal["nothing", "kinetics"], typer.Option("--start", help="kinetics: of I3D.")] = "nothing",
    width: Annotated[
        int | None, typer.Option("--width", show_default="64", help="Channels of the first convolution.")
    ] = None,
    size: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            "--size",
            metavar="SLICES ROWS COLUMNS",
            show_default="ltc: 60 112 112; i3d: 64 224 224",
            help="Of the input.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", show_default="60", help="Passes over all CTs.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", show_default="8", help="CTs a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", show_default="0.0005", help="At its highest.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", show_default="20", help="Of everything random.")] = None,
    device: DeviceOption = "cpu",
    config: ConfigOption = None,
) -> None:
    """Severity on CT, LTC or I3D: cross-validated by patient, then trained on all."""
    check_device(device)
    with told("--start nothing"):
        from training.ct_severity.fitting import Network, Recipe
        from training.ct_severity.recipe import SIZES, Sources, make

        changed = given(width=width, epochs=epochs, batch=batch, learning_rate=learning_rate, seed=seed)
        recipe = Recipe(network=Network(network), size=size or SIZES[Network(network)], **changed)
        sources = Sources(
            data=data,
            labels=labels,
            weights=weights_in(weights, config),
            out=out,
            kinetics=start == "kinetics",
            device=device,
        )
        record = make(sources, recipe)
        said = {name: record[name] for name in ("trained_on", "unseen_patients", "file")}
        show(said, {record["slot"]: out / record["file"]})


@train_app.command("opacity-ensemble")
def opacity_ensemble(
    data: Annotated[Path, typer.Option("--data", help="Folder with images/ and masks/.")],
    out: OutOption,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Weights folder with convnext-tiny-imagenet; without, starts from nothing."),
    ] = None,
    epochs: Annotated[int | None, epochs_option("60")] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Opacity on X-ray, the ensemble: its ConvNeXt, and data sets from which nnU-Net makes the other three."""
    check_device(device)
    with told("leave out --weights"):
        from inference.weights import Shelf
        from inference.weights.loading import read_state
        from training.opacity_ensemble.fitting import Recipe
        from training.opacity_ensemble.images import read
        from training.opacity_ensemble.recipe import IMAGENET, NAME, make, write_datasets

        images = read(data)
        imagenet = read_state(Shelf(weights).require(IMAGENET)[IMAGENET]) if weights else None
        datasets = write_datasets(images, out / "nnUNet_raw")
        recipe = Recipe() if epochs is None else Recipe(epochs=epochs)
        record = make(images, out, recipe, imagenet=imagenet, device=device)
        said = {"sha256": record["sha256"], "images": len(record["images"]), "nnUNet_raw": datasets}
        show(said, {NAME: out / f"{NAME}.safetensors"})
