"""A certificate that ends is told of before it does."""

import pytest

from node.config import Config
from node.expiry import certificate_problems
from node.problems import Severity
from node.sections import Dicom, Tls
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def problems(certificate, key, *, tls_port=2762):
    tls = Tls(certificate=certificate, key=key, require_client_certificate=False)
    return certificate_problems(Config(dicom=Dicom(tls_port=tls_port, tls=tls)))


@pytest.mark.parametrize(
    ("days", "severity", "said"),
    [("365", None, ""), ("20", Severity.WARNING, "expires in 20 days"), ("-1", Severity.CRITICAL, "has expired")],
)
def test_a_certificate_is_told_of_a_month_before_it_ends(authority, days, severity, said):
    node = authority.issue(f"node{days}", days=days)
    found = problems(node.certificate, node.key)
    assert [problem.severity for problem in found] == ([severity] if severity else [])
    assert all(said in problem.message and "put a new one" in problem.message for problem in found)


def test_one_that_nobody_is_shown_is_no_problem(authority):
    unused = authority.issue("unused", days="1")
    assert problems(unused.certificate, unused.key, tls_port=0) == []


def test_files_that_cannot_be_used_are_told_of(authority):
    (problem,) = problems(authority.issue("one").certificate, authority.issue("other").key)
    assert problem.severity is Severity.CRITICAL
    assert "without a passphrase" in problem.message
