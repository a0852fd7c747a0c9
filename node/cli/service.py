"""The service and its state: ``serve``, ``status``, ``config``, ``check-config``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from db.repository import reports
from node import config as config_file
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database, study_named
from node.config import Config, ConfigError
from node.console import as_json, console
from node.overview import show_health
from node.settings_screen import show_settings
from node.study_screen import show_study


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the node: receive, infer, deliver. Ends cleanly on SIGTERM or Ctrl-C; SIGHUP reads config.toml again."""
    from db.files import StorageError
    from db.session import UnsafeStorageError
    from node.app import serve as run
    from node.tls import UnusableFilesError

    settings = load_config(config)
    try:
        run(settings, config_file.chosen(config))
    except (StorageError, UnsafeStorageError, UnusableFilesError) as error:
        fail(str(error))
    except OSError as error:
        ports = " and ".join(str(port) for port in (settings.dicom.port, settings.dicom.tls_port) if port)
        fail(f"cannot listen on {settings.dicom.host}, port {ports}: {error.strerror}. Check [dicom].")


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(help="Study Instance UID or its end; by default the newest ten.")
    ] = None,
    config: ConfigOption = None,
    check: Annotated[bool, typer.Option("--check", help="One line; exit 0 ok, 1 warning, 2 critical.")] = False,
    json: JsonOption = False,
) -> None:
    """Show how the node is and what it did with the newest studies; or all that happened to one, and why."""
    from node.health import examine

    settings = _for_monitor(config) if check else load_config(config)
    if study is not None and not check:
        with open_database(settings) as database, database.read() as session:
            study = study_named(session, study)
            if not json:
                (found,) = reports.studies(session, study_instance_uid=study)
                show_study(found)
                return
    health = examine(settings, study_instance_uid=study)
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
        show_health(health, inputs_days=settings.retention.inputs_days)


def _for_monitor(path: Path | None) -> Config:
    """Return the settings, or end with what is wrong with them in the one line that a monitor reads."""
    try:
        return config_file.load(path)
    except ConfigError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        print(f"CRITICAL: config.toml cannot be used: {first}{more}; `opacity-node check-config`")  # noqa: T201 - unwrapped
        raise typer.Exit(2) from error


@app.command()
def config() -> None:
    """Print the commented config.toml that says what is built in: `opacity-node config > config.toml`."""
    print(config_file.shipped(), end="")  # noqa: T201 - for a file, not for a terminal


@app.command()
def check_config(
    file: Annotated[Path | None, typer.Argument(help="config.toml; by default the one of this folder.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a configuration and show it with defaults and environment; every error at once."""
    from node.tls import UnusableFilesError, check_files

    settings = load_config(file)
    try:
        check_files(settings)
    except UnusableFilesError as error:
        fail(str(error))
    if json:
        print(settings.model_dump_json(indent=2))  # noqa: T201 - for a script, not for a terminal
        return
    console.print("[green]ok[/]", file or (config_file.DEFAULT_FILE if config_file.DEFAULT_FILE.is_file() else ""))
    show_settings(settings)


@app.command()
def hash_passcode() -> None:
    r"""Ask for a passcode, or read a line from a pipe, and print its hash, for \[dicom.users] of config.toml."""
    from handlers.passcodes import hashed

    if sys.stdin.isatty():
        passcode = typer.prompt("passcode", hide_input=True, confirmation_prompt=True, err=True)
    else:
        passcode = _piped()
    print(hashed(passcode.encode()))  # noqa: T201 - for a file, not for a terminal


def _piped() -> str:
    """Return the one line of standard input; twice the same is what a script for a terminal gives."""
    lines: set[str] = set(sys.stdin.read().splitlines())
    if len(lines) != 1 or not (passcode := lines.pop()):
        fail("standard input must hold one passcode, as one line; nothing was printed")
    return passcode
