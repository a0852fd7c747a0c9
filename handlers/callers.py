"""Who asks for an association, as far as access depends on it.

References
----------
PS3.8 9.3.2 A-ASSOCIATE-RQ; PS3.7 D.3.3.7 user identity; RFC 5280 4.2.1.6 subject alternative names.
"""

import hashlib
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation

Network = IPv4Network | IPv6Network
_VERIFICATION = "1.2.840.10008.1.1"
_EVERYONE = "*"
_FINGERPRINT = "sha256:"
_ALTERNATIVE_NAMES = frozenset({"DNS", "IP Address", "URI"})


@dataclass(frozen=True, slots=True)
class AllowedCaller:
    """An AE title that may call, and whence."""

    ae_title: str
    network: Network | None = None
    """None is anywhere."""

    @classmethod
    def of(cls, text: str) -> "AllowedCaller":
        """Read ``AE`` or ``AE@network``; an AE title may hold an @ too, so what follows the last one decides."""
        ae_title, at, network = text.rpartition("@")
        try:
            return cls(ae_title.strip(), ip_network(network.strip())) if at else cls(text.strip())
        except ValueError:
            return cls(text.strip())

    def lets_in(self, address: str) -> bool:
        """Say whether it may call from an address."""
        return self.network is None or holds([self.network], address)


def is_named(texts: Iterable[str], ae_title: str, address: str) -> bool:
    """Say whether a list of AE titles, of which ``*`` is every one, names a peer."""
    allowed = [AllowedCaller.of(text) for text in texts]
    return any(one.ae_title in {_EVERYONE, ae_title} and one.lets_in(address) for one in allowed)


def holds(networks: Iterable[Network], address: str) -> bool:
    """Say whether one of the networks holds an address; one that cannot be read is nowhere."""
    try:
        parsed = ip_address(address.partition("%")[0])  # of a zone on this machine, RFC 4007 11
    except ValueError:
        return False
    return any(parsed in network for network in networks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A peer that asks for an association."""

    ae_title: str
    called_ae_title: str
    address: str
    is_this_machine: bool
    only_echoes: bool
    certificate: frozenset[str] | None
    """Its names, as `certificate_names` gives them; None without TLS or without a certificate."""
    user: UserIdentityNegotiation | None

    @classmethod
    def of(cls, association: Association) -> "Caller":
        """Read the request of an association."""
        request: Any = association.requestor.primitive
        connection: Any = association.dul.socket.socket if association.dul.socket else None
        address = str(association.requestor.address)
        return cls(
            ae_title=str(request.calling_ae_title).strip(),
            called_ae_title=str(request.called_ae_title).strip(),
            address=address,
            is_this_machine=connection is not None and is_this_machine(address, _own_address(connection)),
            only_echoes={str(c.abstract_syntax) for c in request.presentation_context_definition_list}
            == {_VERIFICATION},
            certificate=_certificate_of(connection),
            user=association.requestor.user_identity,
        )

    def __str__(self) -> str:
        return f"{self.ae_title!r} at {self.address}, which called us {self.called_ae_title!r}"


def is_this_machine(address: str, own: str) -> bool:
    """Say whether a connection comes from the machine that it goes to."""
    return address == own.removeprefix("::ffff:")


def certificate_names(certificate: dict[str, Any], der: bytes) -> frozenset[str]:
    """Return what a certificate may be called by: common name, alternative names, fingerprint; in small letters.

    Parameters
    ----------
    certificate : dict
        As `ssl.SSLSocket.getpeercert` gives it.
    der : bytes
        The same, encoded.
    """
    common = (value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName")
    alternative = (value for kind, value in certificate.get("subjectAltName", ()) if kind in _ALTERNATIVE_NAMES)
    return frozenset({*map(certificate_name, (*common, *alternative)), _FINGERPRINT + hashlib.sha256(der).hexdigest()})


def certificate_name(text: str) -> str:
    """Return a name in the form in which they are compared; fingerprints without colons."""
    name = text.strip().lower()
    return _FINGERPRINT + name.removeprefix(_FINGERPRINT).replace(":", "") if name.startswith(_FINGERPRINT) else name


def shown(names: frozenset[str]) -> Iterator[str]:
    """Yield the names of a certificate, those for people first."""
    yield from sorted(names, key=lambda name: (name.startswith(_FINGERPRINT), name))


def _own_address(connection: Any) -> str:  # noqa: ANN401 - a socket, of TLS or not
    try:
        return str(connection.getsockname()[0])
    except OSError:
        return ""


def _certificate_of(connection: object) -> frozenset[str] | None:
    if not isinstance(connection, ssl.SSLSocket):
        return None
    try:
        certificate, der = connection.getpeercert(), connection.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
    return certificate_names(certificate, der) if certificate and der else None
