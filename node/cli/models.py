"""Weights of networks: ``models list``, ``fetch``, ``verify``, ``add``, ``remove``."""

import functools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from inference.weights import manifest
from inference.weights.manifest import Slot
from inference.weights.refusals import WeightsRefusedError
from inference.weights.shelf import Shelf, Standing, State, required_by
from inference.wording import counted
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database
from node.config import Config
from node.console import as_json, console, errors
from node.needs import users_of
from node.weights_table import weights_table

models_app = typer.Typer(no_args_is_help=True, help="Weights of networks: what there is, what is installed.")
app.add_typer(models_app, name="models")

NamesArgument = Annotated[
    list[str] | None, typer.Argument(help="Slots, as `models list` names them.", show_default=False)
]


@models_app.command("list")
def list_models(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show every slot: what lies in it, its hash, its licence, who needs it."""
    settings = load_config(config)
    standings = _examined(settings, list(manifest.SLOTS))
    if json:
        print(as_json([_plain(s, settings) for s in standings]))  # noqa: T201 - for a script, not for a terminal
        return
    console.print(weights_table(standings, settings))
    _print_lacks(standings, settings)


@models_app.command()
def verify(names: NamesArgument = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Hash installed weights anew. Exits 1 if any is wrong, or a named one is missing."""
    settings = load_config(config)
    standings = _examined(settings, [slot.name for slot in _named(names)] or list(manifest.SLOTS))
    if json:
        print(as_json([_plain(s, settings) for s in standings]))  # noqa: T201 - for a script, not for a terminal
    for standing in () if json else standings:
        if names or standing.state is not State.MISSING:
            said = standing.message or f"sha256 {standing.sha256}"
            console.print(f"{standing.slot.name}: {standing.state.value}, {said}", markup=False, soft_wrap=True)
    if not (json or names or any(standing.state is not State.MISSING for standing in standings)):
        console.print("nothing is installed; `opacity-node models list` shows what could be")
    bad = {State.WRONG, State.MISSING} if names else {State.WRONG}
    raise typer.Exit(any(standing.state in bad for standing in standings))


@models_app.command()
def fetch(
    names: NamesArgument = None,
    pipeline: Annotated[str | None, typer.Option(help="All that this pipeline cannot do without.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every published file.")] = False,
    to_dir: Annotated[Path | None, typer.Option("--to-dir", help="Another folder, for a closed network.")] = None,
    accept_unpinned: Annotated[
        bool, typer.Option("--accept-unpinned", help="Take files whose hash nobody published, and hold to them.")
    ] = False,
    ca_bundle: Annotated[
        Path | None, typer.Option("--ca-bundle", help="Certificates to trust, as PEM.", exists=True)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Download published weights, resumed where they were cut, and verify them before they replace anything.

    Exits 1 if any could not be had; the others are installed all the same.
    """
    from node.answers import DownloadError
    from node.download import Downloader
    from node.installation import Installation, InstallationError

    slots = _chosen(names, pipeline, every=every)
    installation = Installation(to_dir or load_config(config).storage.weights)
    downloader = Downloader(ca_bundle=ca_bundle, on_pause=lambda why: errors.print(why, style="dim", markup=False))
    failed = False
    with _progress() as bar:
        for slot in slots:
            task = bar.add_task(slot.name, total=slot.expected_bytes)
            try:
                record = installation.fetch(
                    slot,
                    downloader,
                    accept_unpinned=accept_unpinned,
                    on_progress=functools.partial(_advance, bar, task),
                )
            except (DownloadError, InstallationError) as error:
                bar.remove_task(task)
                _complain(error)
                failed = True
                continue
            if record is None:
                bar.remove_task(task)
            console.print(
                f"{slot.name}: already there" if record is None else f"{slot.name}: installed, sha256 {record.sha256}",
                markup=False,
                soft_wrap=True,
            )
    raise typer.Exit(failed)


@models_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Slot, as `models list` names it.")],
    path: Annotated[Path, typer.Argument(help="A file, or an nnU-Net model folder; it is copied.")],
    output: Annotated[
        list[str] | None, typer.Option("--output", help="The network's outputs in their order, once for each.")
    ] = None,
    threshold: Annotated[list[str] | None, typer.Option("--threshold", help="OUTPUT=VALUE, once for each.")] = None,
    config: ConfigOption = None,
) -> None:
    """Install your own file or folder into a slot, and hold to its hash from then on."""
    from node.installation import Installation, InstallationError

    slot = _named([name])[0]
    try:
        record = Installation(load_config(config).storage.weights).add(
            slot, path, outputs=tuple(output or ()), thresholds=_thresholds(threshold or [])
        )
    except InstallationError as error:
        fail(str(error))
    console.print(f"{name}: installed as {record.file}, sha256 {record.sha256}", markup=False, soft_wrap=True)
    if record.outputs:
        console.print(f"outputs: {', '.join(record.outputs)}", markup=False, soft_wrap=True)


@models_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Slot, as `models list` names it.")], config: ConfigOption = None
) -> None:
    """Delete what is installed in a slot."""
    from node.installation import Installation, InstallationError

    slot = _named([name])[0]
    try:
        path = Installation(load_config(config).storage.weights).remove(slot)
    except InstallationError as error:
        fail(str(error))
    console.print(f"{name}: {path} deleted", markup=False, soft_wrap=True)


@models_app.command()
def rerun(config: ConfigOption = None) -> None:
    """Run jobs that were refused for want of weights, where all that their pipeline needs is there now."""
    from db.repository import reruns
    from inference.weights.refusals import CODES

    settings = load_config(config)
    with open_database(settings) as database:
        with database.read() as session:
            refused = reruns.refused(session, CODES)
        lacking = {job.pipeline: why for job in refused if (why := _lack(settings, job.pipeline))}
        ready = [job.id for job in refused if job.images_are_there and job.pipeline not in lacking]
        with database.write() as session:
            queued = reruns.requeue(session, ready, now=datetime.now(UTC))
    for why in lacking.values():
        errors.print(why, markup=False, soft_wrap=True)
    if gone := sum(not job.images_are_there for job in refused):
        errors.print(f"{counted(gone, 'refused job')} cannot run: images are gone (retention)")
    be = "is" if queued == 1 else "are"
    console.print(f"{queued} of {counted(len(refused), 'job')} refused for want of weights {be} queued again")


def _lack(settings: Config, pipeline: str) -> str:
    """Say what keeps a pipeline from running; nothing where nothing does."""
    shelf = Shelf(settings.storage.weights)
    try:
        shelf.require_for(pipeline)
        for slot in manifest.SLOTS.values():
            if pipeline in slot.optional_for:
                shelf.find(slot.name)
    except WeightsRefusedError as error:
        return f"{pipeline}: {error.refusal.reason} {error.refusal.remedy}"
    return ""


def _named(names: Sequence[str] | None) -> list[Slot]:
    if unknown := [name for name in names or () if name not in manifest.SLOTS]:
        fail(f"there are no weights {', '.join(unknown)}; there are: {', '.join(manifest.SLOTS)}")
    return [manifest.SLOTS[name] for name in names or ()]


def _chosen(names: Sequence[str] | None, pipeline: str | None, *, every: bool) -> list[Slot]:
    if sum((bool(names), pipeline is not None, every)) != 1:
        fail("name slots, or give --pipeline, or --all: one of the three")
    if names:
        return _named(names)
    published = [slot for slot in manifest.SLOTS.values() if slot.url]
    if pipeline is None:
        return published
    known = {name for slot in manifest.SLOTS.values() for name in (*slot.required_by, *slot.optional_for)}
    if pipeline not in known:
        fail(f"--pipeline {pipeline}: no weights belong to it; there are: {', '.join(sorted(known))}")
    chosen = [slot for slot in published if pipeline in (*slot.required_by, *slot.optional_for)]
    for slot in required_by(pipeline):
        if not slot.url and not slot.shipped:
            errors.print(f"{pipeline} also needs your own: {slot.instruction}", markup=False, soft_wrap=True)
    return chosen


def _thresholds(given: Sequence[str]) -> dict[str, float]:
    parts = [text.rpartition("=") for text in given]
    try:
        return {name: float(value) for name, _, value in parts}
    except ValueError:
        fail("--threshold: give OUTPUT=VALUE, such as --threshold opacity=0.4")


def _examined(settings: Config, names: Sequence[str]) -> list[Standing]:
    shelf = Shelf(settings.storage.weights)
    with errors.status("hashing"):
        return [shelf.standing(name) for name in names]


def _plain(standing: Standing, settings: Config) -> dict[str, Any]:
    slot, record, users = standing.slot, standing.record, users_of(settings.rules)
    return {
        **slot.model_dump(mode="json"),
        "licence": standing.licence,
        "state": standing.state.value,
        "message": standing.message,
        "path": standing.path,
        "sha256": standing.sha256,
        "installed": None if record is None else record.model_dump(mode="json"),
        "needed_now_by": {name: users[name] for name in slot.required_by if name in users},
        "install": slot.command,
    }


def _print_lacks(standings: Sequence[Standing], settings: Config) -> None:
    """Say of what is wrong, or missing though a rule needs it, why and what to do."""
    users = users_of(settings.rules)
    for standing in standings:
        slot = standing.slot
        needed = [f"{name} ({users[name]})" for name in slot.required_by if name in users]
        noted = standing.state is State.MISSING and standing.path is None and "unrecorded" in standing.message
        if standing.state is State.WRONG or noted or (standing.state is State.MISSING and needed):
            console.print(
                f"[yellow]![/] {escape(slot.name)}: {standing.state.value}, {escape(standing.message)}"
                + (f"; needed by {escape(', '.join(needed))}" if needed else "")
                + f". To install: {escape(slot.instruction)}",
                soft_wrap=True,
                highlight=False,
            )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )


def _complain(error: Exception) -> None:
    errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)


def _advance(bar: Progress, task: TaskID, done: int, of: int | None) -> None:
    bar.update(task, completed=done, total=of)
