"""The command line: ``opacity-node``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from node import config as config_file
from node.config import Config, ConfigError
from node.console import as_json, console, errors, jobs_table, progress, show_health

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A DICOM node that puts lung AI behind a PACS. Research use only.",
)
bench_app = typer.Typer(no_args_is_help=True, help="Measure this node on this machine.")
app.add_typer(bench_app, name="bench")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="config.toml; by default the one of this folder, else built in.")
]
EvidenceOption = Annotated[Path | None, typer.Option("--evidence", help="File that takes the report as JSON.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def _fail(message: str) -> NoReturn:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def _config(path: Path | None) -> Config:
    try:
        return config_file.load(path)
    except ConfigError as error:
        _fail(str(error))


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the node: receive, infer, deliver. Ends cleanly on SIGTERM or Ctrl-C."""
    from sqlalchemy.exc import DatabaseError

    from db.files import StorageError
    from db.session import UnsafeStorageError
    from node.app import serve as run

    settings = _config(config)
    try:
        run(settings)
    except (StorageError, UnsafeStorageError) as error:
        _fail(str(error))
    except DatabaseError as error:
        _fail(f"the database in {settings.storage.path} cannot be used: {error.orig}. Restore it or move it away.")
    except OSError as error:
        _fail(f"cannot listen on {settings.dicom.host}:{settings.dicom.port}: {error.strerror}. Check [dicom].")


@app.command()
def send(
    study: Annotated[Path, typer.Argument(help="A folder of DICOM files, or one file.", exists=True)],
    to: Annotated[str, typer.Option("--to", help="host:port of the peer.")],
    aet: Annotated[str, typer.Option("--aet", help="AE title of the peer.")],
    our_aet: Annotated[str, typer.Option("--our-aet", help="AE title we call ourselves.")] = "OPACITY_NODE",
) -> None:
    """Send DICOM files to a peer by C-STORE, as they are. Exits 1 if anything was not stored."""
    from dicom_out.sender import Peer
    from node.study_files import dicom_files, send_files

    host, _, port = to.rpartition(":")
    if not host or not port.isdigit():
        _fail(f"--to {to}: give host:port, such as 127.0.0.1:11112")
    paths = dicom_files(study)
    if not paths:
        _fail(f"{study} holds no DICOM file")
    peer = Peer(host=host, port=int(port), ae_title=aet, our_ae_title=our_aet)
    with progress() as bar:
        task = bar.add_task("sending", total=len(paths))
        sent = send_files(paths, peer, on_sent=lambda: bar.advance(task))
    for message, number in sent.failures.items():
        errors.print(f"{number} × {message}", markup=False)
    console.print(f"{sent.stored} of {len(paths)} stored by {aet}")
    raise typer.Exit(0 if sent.stored == len(paths) else 1)


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="Study Instance UID; by default the newest ten.")] = None,
    config: ConfigOption = None,
    check: Annotated[bool, typer.Option("--check", help="One line; exit 0 ok, 1 warning, 2 critical.")] = False,
    json: JsonOption = False,
) -> None:
    """Show how the node is, what it did with the newest studies, and why."""
    from node.health import examine

    health = examine(_config(config), study_instance_uid=study)
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
def jobs(
    config: ConfigOption = None,
    state: Annotated[str | None, typer.Option(help="Only jobs of this state.")] = None,
    newest: Annotated[int, typer.Option(help="How many.")] = 50,
    json: JsonOption = False,
) -> None:
    """List jobs, what became of them, and where their results are."""
    from db.files import Storage
    from db.repository import reports
    from db.session import Database
    from db.states import JobState

    storage = Storage(_config(config).storage.path)
    if state is not None and state not in list(JobState):
        _fail(f"--state {state}: one of {', '.join(JobState)}")
    if not storage.database.is_file():
        _fail(f"there is no database in {storage.root}; start the node with `opacity-node serve`")
    database = Database(f"sqlite:///{storage.database}")
    with database.read() as session:
        found = reports.jobs(session, newest=newest, state=JobState(state) if state else None)
    database.close()
    if json:
        print(as_json(found))  # noqa: T201 - for a script, not for a terminal
    else:
        console.print(jobs_table(found))


@app.command()
def check_config(
    file: Annotated[Path | None, typer.Argument(help="config.toml; by default the one of this folder.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a configuration and show it with defaults and environment; every error at once."""
    settings = _config(file)
    if json:
        print(settings.model_dump_json(indent=2))  # noqa: T201 - for a script, not for a terminal
        return
    console.print("[green]ok[/]", file or (config_file.DEFAULT_FILE if config_file.DEFAULT_FILE.is_file() else ""))
    for rule in settings.rules:
        console.print(
            f"  rule {rule.name!r}: {rule.modality} → {', '.join(rule.pipelines)} → "
            f"{', '.join(rule.destinations) or 'nowhere'}",
            highlight=False,
        )


@app.command()
def demo(
    study: Annotated[Path | None, typer.Argument(help="Folder of DICOM files; by default a synthetic CT.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder that takes everything; made anew.")] = Path("demo-out"),
) -> None:
    """Send a study through a node into an embedded PACS, and show what came out."""
    from node.demo.run import DemoError, run_demo

    try:
        complete = run_demo(study, out)
    except DemoError as error:
        _fail(str(error))
    raise typer.Exit(0 if complete else 1)


@bench_app.command()
def turnaround(
    study: Annotated[Path | None, typer.Argument(help="Folder of DICOM files; by default a synthetic CT.")] = None,
    runs: Annotated[int, typer.Option(help="How often.", min=1)] = 3,
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Seconds from the last instance received to the last result stored, and what they are made of."""
    from node.bench.turnaround import measure, show

    report = measure(study, runs=runs)
    _report(report, evidence, show=None if json else lambda: show(report))


@bench_app.command()
def service(
    slices: Annotated[int, typer.Option(help="How many slices to send, a multiple of 100.", min=100)] = 2000,
    idle: Annotated[float, typer.Option(help="Seconds to watch it idle.")] = 30.0,
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Seconds to the first answer, memory while receiving, processor time when idle."""
    from node.bench.service import measure, show

    report = measure(slices=slices, idle_s=idle)
    _report(report, evidence, show=None if json else lambda: show(report))


def _report(report: object, evidence: Path | None, *, show: Callable[[], None] | None) -> None:
    """Print a benchmark's report, as JSON where there is nothing else to show, and file it as evidence."""
    if evidence is not None:
        evidence.write_text(as_json(report) + "\n")
    if show is None:
        print(as_json(report))  # noqa: T201 - for a script, not for a terminal
    else:
        show()
