"""Tools beside the service: ``send``, ``demo``."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from node.cli.entry import app, fail
from node.console import console, errors, progress

_INTERRUPTED = 128 + signal.SIGINT


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
        fail(f"--to {to}: give host:port, such as 127.0.0.1:11112")
    paths = dicom_files(study)
    if not paths:
        fail(f"{study} holds no DICOM file")
    peer = Peer(host=host, port=int(port), ae_title=aet, our_ae_title=our_aet)
    with progress() as bar:
        task = bar.add_task("sending", total=len(paths))
        sent = send_files(paths, peer, on_sent=lambda: bar.advance(task))
    for message, number in sent.failures.items():
        errors.print(f"{number} × {message}", markup=False)
    console.print(f"{sent.stored} of {len(paths)} stored by {aet}")
    raise typer.Exit(0 if sent.stored == len(paths) else 1)


@app.command()
def demo(
    study: Annotated[Path | None, typer.Argument(help="Folder of DICOM files; by default synthetic ones.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder that takes everything; made anew.")] = Path("demo-out"),
) -> None:
    """Send studies through a node into an embedded PACS, and show what came out."""
    from node.demo.run import DemoError, run_demo

    try:
        complete = run_demo(study, out)
    except DemoError as error:
        fail(str(error))
    except KeyboardInterrupt as error:
        errors.print(f"interrupted; the demo is not complete, {out} holds what there is of it", markup=False)
        raise typer.Exit(_INTERRUPTED) from error
    raise typer.Exit(0 if complete else 1)
