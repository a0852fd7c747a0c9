"""A certificate that ends is told of before it does."""

import pytest

from node.config import Config
from node.expiry import certificate_problems
from node.problems import Severity
from node.sections import Destination, Dicom, Tls
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def problems(certificate, key, *, port=0, tls_port=2762, destinations=()):
    tls = Tls(certificate=certificate, key=key, ca=certificate)
    dicom = Dicom(port=port, tls_port=tls_port, tls=tls)
    return certificate_problems(Config(dicom=dicom, destinations=list(destinations), rules=[]))


@pytest.mark.parametrize(
    ("days", "severity", "said"),
    [("365", None, ""), ("20", Severity.WARNING, "expires in 20 days"), ("-1", Severity.CRITICAL, "has expired")],
)
def test_a_certificate_is_told_of_a_month_before_it_ends(authority, days, severity, said):
    node = authority.issue(f"node{days}", days=days)
    found = problems(node.certificate, node.key)
    assert [problem.severity for problem in found] == ([severity] if severity else [])
    assert all(said in problem.message and "put a new one" in problem.message for problem in found)


def test_where_others_can_still_send_it_is_not_critical(authority):
    late = authority.issue("late", days="-1")
    (problem,) = problems(late.certificate, late.key, port=11112)
    assert problem.severity is Severity.WARNING


def test_one_that_nobody_is_shown_is_no_problem(authority):
    unused = authority.issue("unused", days="1")
    assert problems(unused.certificate, unused.key, port=11112, tls_port=0) == []


@pytest.mark.parametrize(("usage", "is_good"), [("clientAuth", True), ("serverAuth", False)])
def test_one_that_only_calls_has_to_be_good_for_that(authority, usage, is_good):
    bearer = authority.issue(usage, usage=usage)
    pacs = Destination(name="pacs", ae_title="PACS", host="localhost", port=2762, tls=True)
    found = problems(bearer.certificate, bearer.key, port=11112, tls_port=0, destinations=[pacs])
    assert [problem.message for problem in found if "purpose" not in problem.message] == []
    assert bool(found) is not is_good


def test_a_curve_that_no_peer_speaks_is_told_of(authority):
    bearer = authority.issue("brainpool", curve="brainpoolP256r1")
    (problem,) = problems(bearer.certificate, bearer.key)
    assert problem.severity is Severity.CRITICAL
    assert "is of no use" in problem.message


def test_files_that_cannot_be_used_are_told_of(authority):
    (problem,) = problems(authority.issue("one").certificate, authority.issue("other").key)
    assert problem.severity is Severity.CRITICAL
    assert "without a passphrase" in problem.message
