"""What ``check-config`` shows: what a configuration means, and what it lacks."""

from collections.abc import Iterator

from rich.markup import escape

from node.config import Config
from node.console import console, fields_shown, show_rule
from node.needs import unheard, unmet, unsent
from node.sections import Destination


def show_settings(config: Config) -> None:
    """Print who may send, where data lie, when studies are complete, who gets results, what runs on what."""
    console.print(fields_shown(tuple(_lines(config))))
    for rule in config.rules:
        show_rule(rule)
    for lack in (*unmet(config.rules, config.storage.weights), *unheard(config), *unsent(config.rules)):
        console.print(f"[yellow]![/] {escape(lack)}", highlight=False, soft_wrap=True)


def _lines(config: Config) -> Iterator[tuple[str, str]]:
    dicom, settle = config.dicom, config.settle
    ports = [f"{dicom.host}:{dicom.port}"] * bool(dicom.port) + [f"{dicom.host}:{dicom.tls_port} with TLS"] * bool(
        dicom.tls_port
    )
    yield "listens as", f"{dicom.ae_title} on {' and '.join(ports)}"
    yield "senders", ", ".join(dicom.calling_ae_titles) or "anyone (dicom.calling_ae_titles is empty)"
    if dicom.calling_networks:
        yield "networks", ", ".join(dicom.calling_networks)
    yield "queries", ", ".join(config.query_retrieve.calling_ae_titles) or "of nobody"
    if config.storage_commitment.calling_ae_titles:
        yield "promises", f"to keep what it sent: {', '.join(config.storage_commitment.calling_ae_titles)}"
    yield "storage", str(config.storage.path)
    yield "weights", str(config.storage.weights)
    quiet = f"CT after {settle.quiet_ct_s:g} s of quiet, X-ray after {settle.quiet_xray_s:g} s"
    yield "complete", f"{quiet}, at the latest after {settle.max_wait_s:g} s"
    days = config.retention.inputs_days
    yield "images", f"go {days:g} {'day' if days == 1 else 'days'} after results arrived" if days else "kept for ever"
    yield "devices", ", ".join(config.engine.devices)
    for destination in config.destinations:
        yield "destination", _destination(destination)


def _destination(destination: Destination) -> str:
    secured = " with TLS" if destination.tls else ""
    asked = "; asked to confirm storage" if destination.storage_commitment else ""
    gets = f"gets {', '.join(destination.objects) or 'no report'}; maps: {destination.maps}"
    return (
        f"{destination.name}: {destination.ae_title} at {destination.host}:{destination.port}{secured}; {gets}{asked}"
    )
