from types import SimpleNamespace

import pytest

from handlers.association import Associations

VERIFICATION, CT_IMAGE = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"


def event(name="a", *, agreed=(VERIFICATION, CT_IMAGE)):
    contexts = [SimpleNamespace(abstract_syntax=uid) for uid in agreed]
    requestor = SimpleNamespace(ae_title="SCANNER")
    return SimpleNamespace(assoc=SimpleNamespace(name=name, requestor=requestor, accepted_contexts=contexts))


@pytest.mark.parametrize(("agreed", "level"), [((VERIFICATION,), "DEBUG"), ((VERIFICATION, CT_IMAGE), "INFO")])
def test_an_association_that_can_only_echo_is_no_news(agreed, level, caplog):
    caplog.set_level("DEBUG")
    associations = Associations()
    peer = event(agreed=agreed)
    associations.accepted(peer)
    associations.ended(peer)
    assert [r.levelname for r in caplog.records] == [level]


def test_an_open_association_is_sending_to_its_study_until_it_was_idle():
    now = [0.0]
    associations = Associations(clock=lambda: now[0])
    scanner = event()
    associations.accepted(scanner)
    associations.received(scanner.assoc.name, "1.2")
    now[0] = 29.0
    assert associations.sending_to("1.2", idle_s=30)
    assert not associations.sending_to("1.3", idle_s=30)
    now[0] = 31.0
    assert not associations.sending_to("1.2", idle_s=30)


def test_an_ended_association_sends_no_more():
    associations = Associations()
    scanner = event()
    associations.accepted(scanner)
    associations.received(scanner.assoc.name, "1.2")
    associations.ended(scanner)
    associations.ended(scanner)
    associations.received(scanner.assoc.name, "1.2")
    assert not associations.sending_to("1.2", idle_s=30)


def test_associations_that_pynetdicom_names_alike_are_told_apart():
    associations = Associations()
    first, second = event("AcceptorThread@20260102030405"), event("AcceptorThread@20260102030405")
    associations.accepted(first)
    associations.accepted(second)
    associations.received(first.assoc.name, "1.2")
    associations.ended(second)
    assert associations.sending_to("1.2", idle_s=30)


def test_when_a_study_was_last_sent_to_is_known_after_the_association_and_for_so_many_studies(monkeypatch):
    monkeypatch.setattr("handlers.association._STUDIES", 2)
    now = [0.0]
    associations = Associations(clock=lambda: now[0])
    for study in ("1.1", "1.2", "1.1", "1.3"):
        associations.received("ended", study)
    now[0] = 5.0
    assert [associations.received_ago_s(study) for study in ("1.1", "1.2", "1.3")] == [5.0, None, 5.0]
