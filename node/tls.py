"""TLS as both port and destinations use it: one profile, our certificate, and whom we believe.

References
----------
PS3.15 B.12 BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile; RFC 9325 3.1 versions, 4.2 cipher suites.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from db.faults import Trouble
from node.config import Config
from node.sections import Tls

logger = logging.getLogger(__name__)

_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Of TLS 1.2; those of 1.3 are all good. Without DHE, whose key length Python gives no hold on (PS3.15 B.13)."""


_ANSWERS = (b"\x15", b"\x16")
"""How a record begins that is an alert or goes on with a handshake (RFC 8446 B.1)."""


class UnusableFilesError(OSError):
    """Certificate, key or CA cannot be used; the message names the file and the remedy."""


class Credentials:
    """The certificate in use, taken anew when its files change.

    Parameters
    ----------
    tls : Tls
        Where the files are.

    Raises
    ------
    UnusableFilesError
        If they cannot be used.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = _signature(tls)
        self._context = server_context(tls)
        self._trouble = Trouble(
            "the TLS certificate in use stays", logger, over="the TLS certificate is in order again"
        )

    def context(self) -> ssl.SSLContext:
        """Return what to greet the next connection with."""
        return self._context

    def look(self, tls: Tls | None = None) -> None:
        """Take the files if they, or the settings, are other than before; broken ones are told of and left alone."""
        tls = tls or self._tls
        seen = _signature(tls)
        if (tls, seen) == (self._tls, self._seen):
            return
        self._tls, self._seen = tls, seen
        try:
            self._context = server_context(tls)
        except UnusableFilesError as error:
            self._trouble.begin(str(error))
            return
        self._trouble.end()
        logger.info("another TLS certificate is in use: %s", tls.certificate, extra={"action": "tls"})


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return what to greet peers with.

    Raises
    ------
    UnusableFilesError
        If a file cannot be used.
    """
    context = _profile(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    show_ours(context, tls)
    if tls.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        _believe(context, tls)
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return what to call destinations with; their name and their issuer are checked.

    Raises
    ------
    UnusableFilesError
        If a file cannot be used.
    """
    context = _profile(ssl.PROTOCOL_TLS_CLIENT)
    if tls.certificate:
        show_ours(context, tls)
    _believe(context, tls)
    return context


def show_ours(context: ssl.SSLContext, tls: Tls) -> None:
    """Have a context show our certificate; raises `UnusableFilesError` if it cannot."""
    _load(
        lambda: context.load_cert_chain(tls.certificate or "", tls.key, password=_no_passphrase),
        f"[dicom.tls] certificate {tls.certificate} with key {tls.key}",
        "give a PEM certificate, its issuers below it, and the key that belongs to it, without a passphrase",
    )


def check_files(config: Config) -> None:
    """Use every file that a node of this configuration would.

    Raises
    ------
    UnusableFilesError
        If one cannot be used.
    """
    if config.dicom.tls_port:
        server_context(config.dicom.tls)
    if any(destination.tls for destination in config.destinations):
        client_context(config.dicom.tls)


def greets(host: str, port: int, *, timeout_s: float) -> bool:
    """Say whether a port answers a TLS greeting, whatever it thinks of us; nothing more is said."""
    context, greeting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.MemoryBIO()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), greeting).do_handshake()
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(greeting.read())
            return connection.recv(1) in _ANSWERS
    except OSError:
        return False


def _profile(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    return context


def _believe(context: ssl.SSLContext, tls: Tls) -> None:
    _load(
        lambda: context.load_verify_locations(tls.ca),
        f"[dicom.tls] ca {tls.ca}",
        "give the PEM certificate of whoever issues those of the peers",
    )


def _load(load: Callable[[], object], what: str, remedy: str) -> None:
    try:
        load()
    except (OSError, ValueError, TypeError) as error:
        why = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
        why = (why or "it holds none").replace("_", " ").lower()
        raise UnusableFilesError(f"{what} cannot be used ({why}): {remedy}") from error


def _no_passphrase() -> str:
    """Nobody is there to be asked for one."""
    return ""


def _signature(tls: Tls) -> tuple[tuple[int, int, int] | None, ...]:
    """Return what changes when a file does."""
    return tuple(_stamp(file) for file in (tls.certificate, tls.key, tls.ca))


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
