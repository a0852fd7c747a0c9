"""When our certificate ends, told before it does: from then on nobody is let in over TLS, and nothing is delivered.

References
----------
RFC 5280 4.1.2.5 Validity.
"""

import contextlib
import ssl
import time

from node.config import Config
from node.problems import Problem, Severity
from node.sections import Tls
from node.tls import UnusableFilesError, show_ours

_SOON_S = 30 * 86400.0
_RENEW = "put a new one, with its key, in their place: the node takes them by itself"
_STEPS = 10
"""Of a handshake; TLS 1.3 takes three."""


def certificate_problems(config: Config) -> list[Problem]:
    """Return what is wrong with the certificate that we show, or soon will be."""
    tls = config.dicom.tls
    in_use = config.dicom.tls_port or any(destination.tls for destination in config.destinations)
    if not (in_use and tls.certificate):
        return []
    try:
        left_s = _ends_at(tls) - time.time()
    except UnusableFilesError as error:
        return [Problem(severity=Severity.CRITICAL, message=str(error))]
    except ssl.SSLCertVerificationError as error:
        why = f"the TLS certificate {tls.certificate} is of no use: {error.verify_message}; {_RENEW}"
        return [Problem(severity=Severity.CRITICAL, message=why)]
    if left_s > _SOON_S:
        return []
    message = f"the TLS certificate {tls.certificate} expires in {left_s / 86400:.0f} days; {_RENEW}"
    return [Problem(severity=Severity.WARNING, message=message)]


def _ends_at(tls: Tls) -> float:
    """Return the last second of our certificate, since 1970.

    Python reads a certificate only when a peer has shown it, so that we show it to ourselves.

    Raises
    ------
    UnusableFilesError
        If the files cannot be used.
    ssl.SSLCertVerificationError
        If it has expired, or does not begin yet.
    """
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    show_ours(ours, tls)
    theirs.check_hostname = False
    theirs.load_verify_locations(tls.certificate)
    theirs.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # believed itself, whoever issued it
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller, called = theirs.wrap_bio(back, there), ours.wrap_bio(there, back, server_side=True)
    for _ in range(_STEPS):
        for side in (caller, called):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    shown = caller.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
