"""The service and its state: ``serve``, ``status``, ``check-config``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from node import config as config_file
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config
from node.console import as_json, console, show_health, show_rule
from node.needs import unmet


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the node: receive, infer, deliver. Ends cleanly on SIGTERM or Ctrl-C; SIGHUP reads config.toml again."""
    from db.files import StorageError
    from db.session import UnsafeStorageError
    from node.app import serve as run

    settings = load_config(config)
    try:
        run(settings, config_file.chosen(config))
    except (StorageError, UnsafeStorageError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot listen on {settings.dicom.host}:{settings.dicom.port}: {error.strerror}. Check [dicom].")


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="Study Instance UID; by default the newest ten.")] = None,
    config: ConfigOption = None,
    check: Annotated[bool, typer.Option("--check", help="One line; exit 0 ok, 1 warning, 2 critical.")] = False,
    json: JsonOption = False,
) -> None:
    """Show how the node is, what it did with the newest studies, and why."""
    from node.health import examine

    health = examine(load_config(config), study_instance_uid=study)
    if check:
        console.print(
            f"{health.severity.name}: " + ("; ".join(p.message for p in health.problems) or "nothing to report"),
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(health.severity)
    if json:
        print(as_json(health))  # noqa: T201 - for a script, not for a terminal
    else:
        show_health(health)


@app.command()
def check_config(
    file: Annotated[Path | None, typer.Argument(help="config.toml; by default the one of this folder.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a configuration and show it with defaults and environment; every error at once."""
    settings = load_config(file)
    if json:
        print(settings.model_dump_json(indent=2))  # noqa: T201 - for a script, not for a terminal
        return
    console.print("[green]ok[/]", file or (config_file.DEFAULT_FILE if config_file.DEFAULT_FILE.is_file() else ""))
    for rule in settings.rules:
        show_rule(rule)
    for lack in unmet(settings.rules, settings.storage.weights):
        console.print(f"[yellow]![/] {escape(lack)}", highlight=False, soft_wrap=True)
