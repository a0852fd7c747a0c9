"""Measure this node on this machine: ``bench``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from node.cli.entry import JsonOption, app, fail
from node.console import as_json

bench_app = typer.Typer(no_args_is_help=True, help="Measure this node on this machine.")
app.add_typer(bench_app, name="bench")

EvidenceOption = Annotated[Path | None, typer.Option("--evidence", help="File that takes the report as JSON.")]


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


@bench_app.command()
def load(
    study: Annotated[Path | None, typer.Argument(help="Folder of one CT series; by default a synthetic one.")] = None,
    runs: Annotated[int, typer.Option(help="How often.", min=1)] = 5,
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Seconds to read, sort and decode a series, by threads on every processor and by one."""
    from inference.findings import SelectionRefusedError
    from node.bench.load import measure, show
    from node.study_files import dicom_files

    if study is not None and not dicom_files(study):
        fail(f"{study} holds no DICOM file")
    try:
        report = measure(study, runs=runs)
    except SelectionRefusedError as error:
        fail(f"{study} cannot be loaded: {error}")
    _report(report, evidence, show=None if json else lambda: show(report))


@bench_app.command()
def scale(
    studies: Annotated[int, typer.Option(help="How many old studies the database holds.", min=10)] = 1000,
    instances: Annotated[int, typer.Option(help="How many instances each has.", min=60)] = 200,
    runs: Annotated[int, typer.Option(help="How many new studies are sent through.", min=1)] = 7,
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Seconds of every stage, `status` and start on a large database, and on one of a tenth of its studies."""
    from node.bench.scale import measure, show

    report = measure(studies=studies, instances=instances, runs=runs)
    _report(report, evidence, show=None if json else lambda: show(report))


@bench_app.command()
def query(
    studies: Annotated[int, typer.Option(help="How many studies the database holds.", min=10)] = 100_000,
    instances: Annotated[int, typer.Option(help="How many instances each has.", min=3)] = 10,
    runs: Annotated[int, typer.Option(help="How often each query is asked.", min=1)] = 3,
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Seconds to the first and the last match of queries as viewers ask them, and memory."""
    from node.bench.queries import measure, show

    report = measure(studies=studies, instances=instances, runs=runs)
    _report(report, evidence, show=None if json else lambda: show(report))


@bench_app.command()
def receive(
    instances: Annotated[int, typer.Option(help="How many to send in each run, of 0.5 MB.", min=10)] = 600,
    associations: Annotated[
        list[int] | None, typer.Option(help="How many at a time; by default 1, 4 and 10.", metavar="NUMBER")
    ] = None,
    runs: Annotated[int, typer.Option(help="How often, the receivers in turn.", min=1)] = 5,
    archived: Annotated[
        int, typer.Option(help="Instances that a second node holds already, e.g. 1000000; 0 leaves it out.", min=0)
    ] = 0,
    large: Annotated[
        list[float] | None, typer.Option(help="GB of one more instance, at the end.", metavar="GB")
    ] = None,
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Instances received a second, beside storescp, Orthanc and plain pynetdicom; memory of very large ones."""
    from node.bench.receive import SenderFailedError, measure, show

    try:
        report = measure(
            instances=instances,
            associations=associations or [1, 4, 10],
            runs=runs,
            archived=archived,
            large_gb=large or [],
        )
    except SenderFailedError as error:
        fail(str(error))
    _report(report, evidence, show=None if json else lambda: show(report))


@bench_app.command()
def infer(
    study: Annotated[Path | None, typer.Argument(help="Folder of one CT series; by default a synthetic one.")] = None,
    runs: Annotated[int, typer.Option(help="How often.", min=1)] = 1,
    slices: Annotated[int, typer.Option(help="On how many slices of 5 mm lungs are planted.", min=16)] = 24,
    long_slices: Annotated[
        int, typer.Option(help="Slices of a synthetic CT that memory is measured on; 0 for none.", min=0)
    ] = 1000,
    precision: Annotated[
        list[str] | None, typer.Option(help="float32 or bfloat16; by default both.", metavar="PRECISION")
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    json: JsonOption = False,
    evidence: EvidenceOption = None,
) -> None:
    """Seconds and memory of the pipelines with networks, of random weights, beside what they were published as."""
    from inference.findings import SelectionRefusedError
    from node.bench.infer import Wanted, measure
    from node.bench.infer_shown import show
    from node.study_files import dicom_files

    if study is not None and not dicom_files(study):
        fail(f"{study} holds no DICOM file")
    precisions = precision or ["float32", "bfloat16"]
    if unknown := sorted(set(precisions) - {"float32", "bfloat16"}):
        fail(f"no precision: {', '.join(unknown)}; give float32 or bfloat16")
    try:
        report = measure(
            Wanted(
                study=study,
                runs=runs,
                lung_slices=slices,
                precisions=precisions,
                long_slices=long_slices,
                device=device,
            )
        )
    except SelectionRefusedError as error:
        fail(f"{study} cannot be loaded: {error}")
    except RuntimeError as error:
        fail(str(error))
    _report(report, evidence, show=None if json else lambda: show(report))


def _report(report: object, evidence: Path | None, *, show: Callable[[], None] | None) -> None:
    """Print a benchmark's report, as JSON where there is nothing else to show, and file it as evidence."""
    if evidence is not None:
        evidence.write_text(as_json(report) + "\n")
    if show is None:
        print(as_json(report))  # noqa: T201 - for a script, not for a terminal
    else:
        show()
