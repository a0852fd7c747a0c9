"""When our certificate ends, told before it does: from then on nobody is let in over TLS, and nothing is delivered.

References
----------
RFC 5280 4.1.2.5 Validity.
"""

import contextlib
import ssl
import time

from inference.wording import counted
from node.config import Config
from node.problems import Problem, Severity
from node.sections import Tls
from node.tls import UnusableFilesError, show_ours

_SOON_S = 30 * 86400.0
_RENEW = "put a new one, with its key, in their place: the node takes them by itself"
_STEPS = 10
"""Of a handshake; TLS 1.3 takes three."""


def certificate_problems(config: Config) -> list[Problem]:
    """Return what is wrong with the certificate that we show, or soon will be.

    That it is of no use is critical where nobody can send any more: whoever watches may start the node anew for it.
    """
    tls = config.dicom.tls
    in_use = config.dicom.tls_port or any(destination.tls for destination in config.destinations)
    if not (in_use and tls.certificate):
        return []
    severity = Severity.WARNING if config.dicom.port else Severity.CRITICAL
    try:
        left_s = _ends_at(tls, calls=not config.dicom.tls_port) - time.time()
    except UnusableFilesError as error:
        return [Problem(severity=severity, message=str(error))]
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or (error.reason or "no reason").replace("_", " ").lower()
        return [
            Problem(severity=severity, message=f"the TLS certificate {tls.certificate} is of no use: {why}; {_RENEW}")
        ]
    if left_s > _SOON_S:
        return []
    days = counted(round(left_s / 86400), "day")
    message = f"the TLS certificate {tls.certificate} expires in {days}; {_RENEW}"
    return [Problem(severity=Severity.WARNING, message=message)]


def _ends_at(tls: Tls, *, calls: bool) -> float:
    """Return the last second of our certificate, since 1970.

    Python reads a certificate only when a peer has shown it, so that we show it to ourselves: as who `calls`, or is
    called.

    Raises
    ------
    UnusableFilesError
        If the files cannot be used.
    ssl.SSLError
        If it has expired, does not begin yet, or is no good for that.
    """
    caller, called = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows, sees = (caller, called) if calls else (called, caller)
    caller.check_hostname, caller.verify_mode = False, ssl.CERT_NONE
    show_ours(shows, tls)
    if calls:
        show_ours(sees, tls)  # a server has to have one
    sees.verify_mode = ssl.CERT_REQUIRED
    sees.load_verify_locations(tls.certificate)
    sees.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # believed itself, whoever issued it
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = caller.wrap_bio(back, there), called.wrap_bio(there, back, server_side=True)
    for _ in range(_STEPS):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    shown = sides[calls].getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
