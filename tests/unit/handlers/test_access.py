"""Who may have an association."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from handlers import passcodes
from handlers.access import Policy
from handlers.callers import AllowedCaller, Caller, certificate_name, certificate_names, holds, is_this_machine
from handlers.refusals import Reason, Refusals

CERTIFICATE = {
    "subject": ((("countryName", "AT"),), (("commonName", "CT1.Hospital.example"),)),
    "subjectAltName": (("DNS", "ct1"), ("IP Address", "10.1.2.3"), ("email", "x@example.org")),
}


def caller(**changes):
    values = {
        "ae_title": "CT1",
        "called_ae_title": "US",
        "address": "10.1.2.3",
        "is_this_machine": False,
        "only_echoes": False,
        "certificate": None,
        "user": None,
    }
    return Caller(**(values | changes))


def policy(**changes):
    return Policy(our_ae_title="US", **changes)


def reason(policy, caller):
    refusal = policy.refusal(caller)
    return refusal.reason if refusal else None


def test_who_sets_nothing_lets_everyone_in():
    assert policy().refusal(caller()) is None


@pytest.mark.parametrize(
    ("text", "address", "let_in"),
    [
        ("CT1", "192.168.0.1", True),
        ("CT1@10.1.0.0/16", "10.1.2.3", True),
        ("CT1@10.1.0.0/16", "10.2.2.3", False),
        ("CT1@10.1.2.3", "10.1.2.3", True),
        ("CT1@fd00::/8", "fd00::7", True),
        ("CT1@fd00::/8", "10.1.2.3", False),
        ("CT1@10.1.0.0/16", "no address", False),
    ],
)
def test_an_ae_title_may_be_held_to_a_network(text, address, let_in):
    held = policy(callers=(AllowedCaller.of(text),))
    assert (reason(held, caller(address=address)) is None) is let_in
    assert reason(held, caller(address=address, ae_title="CT2")) is Reason.AE_TITLE


def test_an_ae_title_with_an_at_sign_is_one():
    assert AllowedCaller.of("CT1@HOME") == AllowedCaller("CT1@HOME")


def test_an_ae_title_named_twice_may_call_from_either_network():
    held = policy(callers=(AllowedCaller.of("CT1@10.1.0.0/16"), AllowedCaller.of("CT1@10.2.0.0/16")))
    assert held.refusal(caller(address="10.2.9.9")) is None


def test_an_address_outside_the_networks_is_refused():
    held = policy(networks=(ip_network("10.1.0.0/16"),))
    assert held.refusal(caller()) is None
    assert reason(held, caller(address="10.2.0.1")) is Reason.ADDRESS


def test_this_machine_may_ask_whether_we_answer_and_nothing_else():
    held = policy(networks=(ip_network("10.1.0.0/16"),), callers=(AllowedCaller("CT1"),), requires_user=True)
    ours = {"ae_title": "US", "address": "127.0.0.1", "is_this_machine": True}
    assert held.refusal(caller(**ours, only_echoes=True)) is None
    assert reason(held, caller(**ours)) is Reason.ADDRESS
    assert reason(held, caller(**ours | {"is_this_machine": False}, only_echoes=True)) is Reason.ADDRESS
    assert reason(held, caller(**ours | {"ae_title": "CT1"}, only_echoes=True)) is Reason.ADDRESS


def test_the_names_of_a_certificate_are_its_common_and_alternative_names_and_its_fingerprint():
    fingerprint = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert certificate_names(CERTIFICATE, b"abc") == {"ct1.hospital.example", "ct1", "10.1.2.3", fingerprint}
    colons = ":".join(fingerprint.removeprefix("sha256:").upper()[at : at + 2] for at in range(0, 64, 2))
    assert certificate_name(f"SHA256:{colons}") == fingerprint


def test_a_certificate_lets_its_bearer_use_the_ae_titles_that_it_was_given():
    held = policy(certificates={"ct1": frozenset({"CT1"}), "sha256:00": frozenset({"CT2"})})
    assert held.refusal(caller(certificate=frozenset({"ct1", "sha256:11"}))) is None
    assert reason(held, caller(certificate=frozenset({"ct1"}), ae_title="CT2")) is Reason.CERTIFICATE
    assert held.refusal(caller(certificate=frozenset({"x", "sha256:00"}), ae_title="CT2")) is None
    assert reason(held, caller(certificate=frozenset({"stranger"}))) is Reason.CERTIFICATE


def user(kind=1, name="anna", passcode=None):
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = kind, name.encode()
    identity.secondary_field = passcode
    return identity


USERS = {"anna": passcodes.hashed(b"right"), "guest": ""}


@pytest.mark.parametrize(
    ("given_user", "let_in"),
    [
        (user(2, passcode=b"right"), True),
        (user(2, passcode=b"wrong"), False),
        (user(2, passcode=b""), False),
        (user(1), False),
        (user(1, "guest"), True),
        (user(2, "nobody", b"right"), False),
        (user(2, "nobody", b""), False),
        (user(3), False),
        (user(5, "guest"), False),
        (None, True),
    ],
)
def test_a_user_that_is_named_must_be_ours(given_user, let_in):
    assert (reason(policy(users=USERS), caller(user=given_user)) is None) is let_in


def test_where_a_user_is_required_nobody_comes_without():
    held = policy(users=USERS, requires_user=True)
    assert reason(held, caller()) is Reason.USER
    assert (held.refusal(caller()).source, held.refusal(caller()).diagnostic) == (2, 1)
    assert held.refusal(caller(user=user(1, "guest"))) is None


def test_where_no_users_are_set_any_is_taken_as_it_is():
    assert policy().refusal(caller(user=user(3))) is None


def test_an_address_of_another_machine_is_none_of_ours():
    assert is_this_machine("10.1.2.3", "::ffff:10.1.2.3")
    assert not is_this_machine("10.1.2.4", "10.1.2.3")
    assert holds([ip_network("fe80::/10")], "fe80::1%eth0")


@given(st.binary(max_size=40))
def test_only_the_passcode_itself_fits_its_hash(passcode):
    kept = KEPT
    assert passcodes.fits(passcode, kept) is (passcode == b"right")


KEPT = "scrypt$2$1$1$" + USERS["anna"].split("$")[4] + "$"
KEPT += passcodes._encoded(passcodes._scrypt(b"right", passcodes._parts(USERS["anna"])[3], 2, 1, 1))


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        "scrypt$16384$8$1$c2FsdA==",
        "scrypt$16383$8$1$c2FsdA==$aGFzaA==",
        "scrypt$1048576$8$1$c2FsdA==$aGFzaA==",
        "scrypt$16384$8$1$$aGFzaA==",
        "md5$16384$8$1$c2FsdA==$aGFzaA==",
        "scrypt$a$8$1$c2FsdA==$aGFzaA==",
    ],
)
def test_what_is_no_hash_is_told_with_the_command_that_makes_one(text):
    with pytest.raises(passcodes.PasscodeError, match="opacity-node hash-passcode"):
        passcodes.check(text)


def test_two_hashes_of_a_passcode_differ_and_hold_it_nowhere():
    one, other = passcodes.hashed(b"right"), passcodes.hashed(b"right")
    assert one != other
    assert "right" not in one
    assert passcodes.check(one) == one


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_every_refusal_is_counted_and_the_same_one_is_told_once_a_minute(caplog):
    clock = Clock()
    refusals = Refusals(clock)
    for _ in range(5):
        refusals.add(Reason.TLS, "refused a")
    refusals.add(Reason.ADDRESS, "refused b")
    clock.now = 61
    refusals.add(Reason.TLS, "refused a")
    assert refusals.counts == {"address": 1, "tls": 6}
    assert [r.getMessage() for r in caplog.records] == [
        "refused a",
        "refused b",
        "refused a (4 more since the last such line)",
    ]


def test_a_flood_of_different_refusals_fills_neither_log_nor_memory(caplog):
    clock = Clock()
    refusals = Refusals(clock)
    for number in range(5000):
        refusals.add(Reason.AE_TITLE, f"refused {number}")
    assert len(caplog.records) == 1000
    assert len(refusals._said) <= 1000
    assert refusals.counts == {"ae-title": 5000}
    clock.now = 61
    refusals.add(Reason.AE_TITLE, "refused again")
    assert caplog.records[-1].getMessage() == "refused again"
