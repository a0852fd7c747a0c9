"""Who may have an association: by address, AE title, certificate and user.

References
----------
PS3.8 9.3.4 A-ASSOCIATE-RJ; PS3.7 D.3.3.7 User Identity Negotiation; PS3.15 B.12 certificates of peers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pynetdicom._globals import APPLICATION_CONTEXT_NAME
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from handlers import passcodes
from handlers.callers import AllowedCaller, Caller, Network, holds, is_this_machine, shown
from handlers.refusals import Reason, Refusals

_PERMANENT, _SERVICE_USER, _ACSE = 1, 1, 2
_NO_REASON, _APPLICATION_CONTEXT, _CALLING_AE_TITLE = 1, 2, 3
_USERNAME, _USERNAME_AND_PASSCODE = 1, 2
_NOBODYS = passcodes.hashed(b"")
"""Checked where there is no such user, so that the time which an answer takes does not tell."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an association is rejected, and how that is told."""

    reason: Reason
    why: str
    diagnostic: int = _NO_REASON
    source: int = _SERVICE_USER
    """Both of the A-ASSOCIATE-RJ, whose result is permanent (PS3.8 table 9-21)."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Who may have an association; what is empty restricts nothing."""

    our_ae_title: str
    callers: tuple[AllowedCaller, ...] = ()
    networks: tuple[Network, ...] = ()
    certificates: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """AE titles by the name of a certificate, as `certificate_name` gives it."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Hashes of passcodes by name; an empty one lets the name suffice."""
    requires_user: bool = False

    def refusal(self, caller: Caller) -> Refusal | None:
        """Return why a caller may not, None if it may.

        This machine may always ask whether we answer: so a monitor needs no entry of its own.
        """
        if caller.is_this_machine and caller.only_echoes and caller.ae_title == self.our_ae_title:
            return None
        return (
            self._of_address(caller)
            or self._of_ae_title(caller)
            or self._of_certificate(caller)
            or self._of_user(caller.user)
        )

    def _of_address(self, caller: Caller) -> Refusal | None:
        if not self.networks or holds(self.networks, caller.address):
            return None
        return Refusal(
            Reason.ADDRESS, "no network of dicom.calling_networks holds its address; add one there if it may send"
        )

    def _of_ae_title(self, caller: Caller) -> Refusal | None:
        if not self.callers:
            return None
        entries = [allowed for allowed in self.callers if allowed.ae_title == caller.ae_title]
        if any(allowed.lets_in(caller.address) for allowed in entries):
            return None
        why = (
            "dicom.calling_ae_titles has its AE title for other addresses; add this one there if it may send from it"
            if entries
            else "its AE title is not in dicom.calling_ae_titles; add it there if it may send"
        )
        return Refusal(Reason.AE_TITLE, why, _CALLING_AE_TITLE)

    def _of_certificate(self, caller: Caller) -> Refusal | None:
        """Compare certificate and AE title; who comes without TLS has no certificate that could say anything."""
        if not self.certificates or caller.certificate is None:
            return None
        if any(caller.ae_title in self.certificates.get(name, ()) for name in caller.certificate):
            return None
        return Refusal(
            Reason.CERTIFICATE,
            "its certificate does not let it bear this AE title; if it may, add the AE title in [dicom.certificates] "
            f"to one of its names: {', '.join(shown(caller.certificate))}",
            _CALLING_AE_TITLE,
        )

    def _of_user(self, user: UserIdentityNegotiation | None) -> Refusal | None:
        if user is None:
            if not self.requires_user:
                return None
            return _of_no_user("it names no user, which dicom.require_user_identity asks for; have it name one")
        if not self.users or self._is_known(user):
            return None
        return _of_no_user("its user or passcode is not one of [dicom.users]; `opacity-node hash-passcode`")

    def _is_known(self, user: UserIdentityNegotiation) -> bool:
        """Say whether a user is one of ours; tickets and tokens (types 3 to 5) we cannot check."""
        if user.user_identity_type not in {_USERNAME, _USERNAME_AND_PASSCODE}:
            return False
        kept = self.users.get((user.primary_field or b"").decode("utf-8", "replace"))
        if kept == "":
            return True
        return passcodes.fits(user.secondary_field or b"", kept or _NOBODYS) and kept is not None


class Access:
    """Lets peers in, or not.

    Parameters
    ----------
    policy : Policy
        To begin with.
    refusals : Refusals
        Told of whoever is not let in.
    """

    def __init__(self, policy: Policy, refusals: Refusals) -> None:
        self._policy = policy
        self._refusals = refusals

    def use(self, policy: Policy) -> None:
        """Decide by another policy from now on; associations that are open stay."""
        self._policy = policy

    def may_connect(self, address: str, own: str) -> bool:
        """Say whether anything may come from an address; this machine is asked who it is later."""
        networks = self._policy.networks
        return not networks or is_this_machine(address, own) or holds(networks, address)

    def requested(self, event: Event) -> None:
        """Reject an association that is asked for, or answer for its user what the standard wants answered."""
        association, caller = event.assoc, Caller.of(event.assoc)
        refusal = _of_application(association.requestor.primitive) or self._policy.refusal(caller)
        if refusal is not None:
            self._refusals.add(refusal.reason, f"rejected an association of {caller}: {refusal.why}")
            association.acse.send_reject(_PERMANENT, refusal.source, refusal.diagnostic)
            association.kill()
        elif self._policy.users and caller.user is not None and caller.user.positive_response_requested:
            # Empty for names and passcodes (PS3.7 table D.3-15); pynetdicom itself answers for tickets only.
            confirmed = UserIdentityNegotiation()
            confirmed.server_response = b""
            association.acceptor.add_negotiation_item(confirmed)


def _of_no_user(why: str) -> Refusal:
    """Return a refusal as PS3.7 D.3.3.7 has it: of the provider's ACSE, whoever looks at users."""
    return Refusal(Reason.USER, why, source=_ACSE)


def _of_application(request: Any) -> Refusal | None:  # noqa: ANN401 - pynetdicom's type of it has no types of its own
    """Return that a request is not of DICOM (PS3.7 A.2.1); pynetdicom takes any."""
    if request.application_context_name == APPLICATION_CONTEXT_NAME:
        return None
    return Refusal(Reason.OTHER, "its application context is not that of DICOM", _APPLICATION_CONTEXT)
