"""What the recipes on the common loop are asked alike: the options of their commands, said once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from node.cli.entry import ConfigOption
from node.cli.offline import check_device
from node.cli.training import (
    DeviceOption,
    OutOption,
    WeightsOption,
    batch_option,
    epochs_option,
    given,
    need_lightning,
    rate_option,
    weights_in,
)
from node.console import errors

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked of a recipe on the common loop.

    Attributes
    ----------
    data, out : Path
        Folders with images and for what is made.
    changed : dict
        Numbers of the recipe that are to be others, by name.
    weights, config : Path or None
        As `node.cli.training.weights_in` takes them.
    seed, folds, fold, precision, device, workers, licence
        As `training.loop.plan.Plan` has them.
    """

    data: Path
    out: Path
    changed: dict[str, Any]
    weights: Path | None
    config: Path | None
    seed: int
    folds: int
    fold: int
    precision: Precision
    device: str
    workers: int
    licence: str

    @property
    def installed(self) -> Path:
        """Where weights to start from are."""
        return weights_in(self.weights, self.config)

    def how(self, **changed: float | None) -> dict[str, Any]:
        """Return what `How` of a recipe is made of, with further numbers that may have been given."""
        from training.loop.plan import Precision as OfPlan

        alike = ("seed", "folds", "fold", "device", "workers", "licence")
        return {
            "changed": {**self.changed, **given(**changed)},
            "common": {
                **{name: getattr(self, name) for name in alike},
                "precision": OfPlan(self.precision),
                "is_shown": errors.is_terminal,
            },
        }


def on_the_loop(*, epochs: str, batch: str, learning_rate: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command all options that recipes on the loop have alike; it gets them as `Asked`, before its own.

    Parameters
    ----------
    epochs, batch, learning_rate : str
        What the recipe takes by default, for the help.
    """

    def asked(
        data: Annotated[
            Path,
            typer.Option("--data", help="Folder as Kaggle distributes it (RSNA, SIIM), or with images/ and masks/."),
        ],
        out: OutOption,
        weights: WeightsOption = None,
        epochs: Annotated[int | None, epochs_option(epochs)] = None,
        batch: Annotated[int | None, batch_option(batch)] = None,
        learning_rate: Annotated[float | None, rate_option(learning_rate)] = None,
        folds: Annotated[
            int, typer.Option("--folds", min=0, help="Parts into which patients are dealt out; 0 holds out nobody.")
        ] = 5,
        fold: Annotated[int, typer.Option("--fold", min=1, help="Which part is held out, and judged on.")] = 1,
        seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 20,
        precision: Annotated[Precision, typer.Option("--precision", help="Of the computation.")] = "32-true",
        device: DeviceOption = "cpu",
        workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that read images.")] = 0,
        licence: Annotated[
            str, typer.Option("--licence", help="Under which the weights may be used, for the card.")
        ] = "not stated",
        config: ConfigOption = None,
    ) -> Asked:
        check_device(device)
        need_lightning()
        return Asked(
            data=data,
            out=out,
            changed=given(epochs=epochs, batch=batch, learning_rate=learning_rate),
            weights=weights,
            config=config,
            seed=seed,
            folds=folds,
            fold=fold,
            precision=precision,
            device=device,
            workers=workers,
            licence=licence,
        )

    return lambda command: _joined(asked, command)


def _joined(asked: Callable[..., Asked], command: Callable[..., None]) -> Callable[..., None]:
    alike = inspect.signature(asked, eval_str=True).parameters
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def joined(**options: Any) -> None:  # noqa: ANN401 - of any kind
        command(asked(**{name: options.pop(name) for name in alike}), **options)

    named = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*alike.values(), *own)]
    vars(joined)["__signature__"] = inspect.Signature(named)
    return joined
