"""A pipeline on a folder, without a server: ``run``."""

import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from inference.registry import CARDS
from inference.weights import WeightsRefusedError
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config
from node.console import as_json, errors
from node.offline.maps import Maps
from node.offline.summary import Row, State

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")
_NOTHING_RAN, _FAULT = 3, 1


@app.command(
    epilog="Exit status: 0 something ran, 3 nothing fits or all was refused, 1 an image failed or results could not be "
    "written, 2 a wrong argument. docs/run.md says what each file holds."
)
def run(
    study: Annotated[Path, typer.Argument(help="A folder of DICOM files, any mix of studies, or one file.")],
    pipeline: Annotated[str, typer.Option("--pipeline", help="As `opacity-node pipelines` lists them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder that takes the results.")],
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, ...")] = "cpu",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of installed weights; by default that of config.toml.")
    ] = None,
    maps: Annotated[Maps, typer.Option("--maps", help="Maps on the source's grid, on the network's, or none.")] = (
        Maps.SOURCE_GRID
    ),
    every: Annotated[
        bool, typer.Option("--all-stacks", help="Run every CT stack that fits, not the best of each study.")
    ] = False,
    challenge_map: Annotated[
        bool,
        typer.Option("--challenge-map", help="Also write the map as the MIDRC XAI challenge took it: PNG, 8 bits."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files; they stay.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Run a pipeline on a folder of DICOM files, without a server: objects, pictures, masks and JSON into a folder."""
    if pipeline not in CARDS:
        fail(f"--pipeline {pipeline}: there is no such pipeline; there are: {', '.join(CARDS)}")
    if challenge_map and not CARDS[pipeline].challenge_map:
        those = ", ".join(name for name, card in CARDS.items() if card.challenge_map)
        fail(f"--challenge-map: {pipeline} makes no such map; pipelines that do: {those}")
    if not study.exists():
        fail(f"{study}: there is no such file or folder")
    check_device(device)
    settings = load_config(config)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("node.offline").setLevel(settings.log.level)

    # Imaging libraries come with these.
    from node.offline.folder import FolderError
    from node.offline.job import Settings, UnwritableError
    from node.offline.run import NoDicomError, Run
    from node.offline.screen import show_run

    done = Run(
        Settings(
            card=CARDS[pipeline],
            out=out,
            weights=weights or settings.storage.weights,
            device=device,
            maps=maps,
            challenge_map=challenge_map,
            results=settings.results,
            chosen=settings.pipelines.get(pipeline, {}),
            limits=settings.engine.limits,
        ),
        every=every,
        overwrite=overwrite,
    )
    try:
        done.run(study)
    except (FolderError, NoDicomError) as error:
        fail(str(error))
    except WeightsRefusedError as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(_NOTHING_RAN) from None
    except UnwritableError as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(_FAULT) from None
    if json:
        print(as_json(done.record("complete")))  # noqa: T201 - for a script, not for a terminal
    else:
        show_run(done.rows, done.summaries, out)
    raise typer.Exit(_status(done.rows))


def _status(rows: Sequence[Row]) -> int:
    states = {row.state for row in rows}
    if State.FAILED in states:
        return _FAULT
    return 0 if State.SUCCEEDED in states else _NOTHING_RAN


def check_device(device: str) -> None:
    """End saying what is wrong with the name of a device, if anything is."""
    if not _DEVICE.fullmatch(device):
        fail(f"--device {device}: give cpu, cuda, cuda:0 or the number of another GPU")
    if device == "cpu":
        return
    import torch

    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        there = f"there are {torch.cuda.device_count()}" if torch.cuda.is_available() else "PyTorch sees no GPU here"
        fail(f"--device {device}: {there}; --device cpu runs everywhere")
