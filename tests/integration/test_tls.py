"""Over TLS: who is let in by certificate, AE title and user, and who is not; the node answers on whatever is tried."""

import functools
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.presentation import build_context

from dicom_out.association import NoAssociationError, Peer, associate
from dicom_out.sender import SendState, echo, send
from handlers.passcodes import hashed
from node.config import load
from node.demo.harness import RunningNode, free_port, write_config
from node.health import answers, silent_ports
from node.refused import last_refused
from node.sections import Tls
from node.tls import client_context
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.certificates import Authority
from tests.commands import opacity_node
from tests.orthanc import Orthanc
from tests.peers import storescu
from tests.processes import LOOPBACK

LIMIT_S = 60
VERIFICATION = "1.2.840.10008.1.1"
ACCESS = """
tls_port = {tls_port}
calling_ae_titles = ["SCANNER", "OTHER", "ORTHANC", "NEIGHBOUR@10.1.0.0/16", "DEMO_SCU"]

[dicom.tls]
certificate = "{folder}/node.pem"
key = "{folder}/node.key"
ca = "{ca}"

[dicom.certificates]
scanner = ["SCANNER"]
"{orthanc}" = ["ORTHANC"]

[dicom.users]
radiographer = "{passcode}"
guest = ""
"""


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, "the node took too long"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def scanner(authority):
    return authority.issue("scanner")


@pytest.fixture(scope="module")
def orthancs(authority):
    return authority.issue("pacs")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write(folder, to_datasets(make_chest(slices=2, rows=16, columns=16, spacing_mm=(20.0, 9.0, 9.0))))


@pytest.fixture(scope="module")
def config(tmp_path_factory, authority, orthancs):
    folder = tmp_path_factory.mktemp("node")
    bearer = authority.issue("node")
    shutil.copy(bearer.certificate, folder / "node.pem")
    shutil.copy(bearer.key, folder / "node.key")
    file = write_config(folder, pacs_port=free_port())
    access = ACCESS.format(
        tls_port=free_port(),
        folder=folder,
        ca=authority.certificate,
        orthanc=f"sha256:{orthancs.fingerprint()}",
        passcode=hashed("kéy".encode()),
    )
    file.write_text(file.read_text().replace("\n[storage]", f"{access}\n[storage]", 1))
    return file


@pytest.fixture(scope="module")
def tls_port(config):
    return load(config).dicom.tls_port


@pytest.fixture(scope="module")
def node(config):
    with RunningNode(config) as running:
        yield running


@pytest.fixture
def logged(node):
    """Say whether the log has a line since the test began."""
    before = len(node.log.read_text())
    return lambda wanted: wanted in node.log.read_text()[before:]


@pytest.fixture(autouse=True)
def still_answers(node):
    yield
    node.check()
    assert echo(node.peer)


def shows(bearer, authority, *more):
    return ["+tls", bearer.key, bearer.certificate, "+cf", authority.certificate, *more]


def sent(images, port, options, *, calling_aet="SCANNER"):
    """Return whether storescu had success with the first image."""
    options = ["-to", "10", "-ta", "10", *options]
    done = storescu(images[0], LOOPBACK, port, "OPACITY_NODE", calling_aet=calling_aet, options=options, timeout_s=60)
    return done.returncode == 0 and "Received Store Response (Success)" in done.stdout


def test_storescu_with_a_certificate_is_let_in_by_each_profile_in_force(node, tls_port, images, scanner, authority):
    for profile in ("+py", "+px", "+pz"):
        assert sent(images, tls_port, shows(scanner, authority, profile)), profile
    until(lambda: any(study.instances for study in node.studies()))


def test_the_retired_profiles_are_refused(node, tls_port, images, scanner, authority, logged):
    for profile in ("+pa", "+pn"):
        assert not sent(images, tls_port, shows(scanner, authority, profile)), profile
    assert until(lambda: logged("the TLS handshake failed: no shared cipher"))


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_retired_versions_of_tls_are_refused(node, tls_port, version):
    command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{tls_port}", version]
    said = subprocess.run(
        [*command, "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True, timeout=30, check=False
    )
    assert "Cipher is (NONE)" in said.stdout
    assert "protocol version" in said.stderr


def test_without_a_certificate_nobody_is_let_in(node, tls_port, images, authority, logged):
    assert not sent(images, tls_port, ["+tla", "+cf", authority.certificate])
    assert until(lambda: logged("the TLS handshake failed: peer did not return a certificate"))


def test_a_certificate_of_another_authority_is_refused(node, tls_port, images, authority, tmp_path, logged):
    stranger = Authority(tmp_path / "other", "OtherCA").issue("scanner")
    assert not sent(images, tls_port, shows(stranger, authority))
    assert until(lambda: logged("certificate verify failed"))


def test_a_certificate_that_has_expired_is_refused(node, tls_port, images, authority, logged):
    assert not sent(images, tls_port, shows(authority.issue("late", days="-1"), authority))
    assert until(lambda: logged("certificate has expired"))


def test_a_peer_that_does_not_believe_us_hangs_up(node, tls_port, images, scanner, tmp_path):
    other = Authority(tmp_path / "other", "OtherCA")
    assert not sent(images, tls_port, shows(scanner, other))


def test_a_certificate_bears_the_ae_titles_that_it_was_given_and_no_other(
    node, tls_port, images, scanner, authority, logged
):
    assert not sent(images, tls_port, shows(scanner, authority), calling_aet="OTHER")
    assert until(lambda: logged("rejected an association of 'OTHER' at 127.0.0.1"))
    assert logged(
        "add the AE title in [dicom.certificates] to one of its names: 127.0.0.1, localhost, scanner, sha256:"
    )
    assert sent(images, node.peer.port, [], calling_aet="OTHER")  # the port without TLS knows no certificates


def test_plain_dicom_on_the_port_for_tls_is_refused_at_once_and_told(node, tls_port, images, logged):
    started = time.monotonic()
    assert not sent(images, tls_port, [])
    assert time.monotonic() - started < 5
    assert until(lambda: logged("it speaks no TLS on the port that is for TLS"))


def test_tls_on_the_port_without_is_refused_at_once_and_told(node, images, scanner, authority, logged):
    assert not sent(images, node.peer.port, shows(scanner, authority))
    assert until(lambda: logged("a TLS greeting to the port without TLS; let it call dicom.tls_port"))


def test_an_ae_title_that_may_call_from_elsewhere_is_told_so(node, images, logged):
    assert not sent(images, node.peer.port, [], calling_aet="NEIGHBOUR")
    assert until(lambda: logged("dicom.calling_ae_titles has its AE title for other addresses"))


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        (("-usr", "radiographer", "-pwd", "kéy"), True),
        (("-usr", "radiographer", "-pwd", "wrong"), False),
        (("-usr", "radiographer", "-epw"), False),
        (("-usr", "radiographer"), False),
        (("-usr", "nobody", "-pwd", "kéy"), False),
        (("-usr", "guest"), True),
    ],
    ids=["right", "wrong", "empty", "none", "stranger", "name alone"],
)
def test_a_user_needs_its_passcode(node, tls_port, images, scanner, authority, options, stored):
    assert sent(images, tls_port, shows(scanner, authority, *options)) is stored
    said = node.log.read_text()
    assert stored or "its user or passcode is not one of [dicom.users]" in said
    assert "radiographer" not in said
    assert "kéy" not in said


@pytest.mark.parametrize(("asks", "answered"), [(True, b""), (False, None)])
def test_who_asks_whether_its_user_was_taken_is_answered(node, asks, answered):
    user = UserIdentityNegotiation()
    user.user_identity_type, user.primary_field, user.positive_response_requested = 1, b"guest", asks
    entity = AE("SCANNER")
    entity.add_requested_context(VERIFICATION)
    association = entity.associate(LOOPBACK, node.peer.port, ext_neg=[user])
    assert association.is_established
    answer = association.acceptor.user_identity
    association.release()
    assert (answer.server_response if answer else None) == answered


def test_orthanc_sends_over_tls_and_takes_results_over_tls(node, tls_port, images, orthancs, authority, tmp_path):
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(orthancs.certificate),
        "DicomTlsPrivateKey": str(orthancs.key),
        "DicomTlsTrustedCertificates": str(authority.certificate),
    }
    folder = load(node.storage.root.parent / "config.toml").dicom.tls
    peer = functools.partial(Peer, host=LOOPBACK, ae_title="ORTHANC", our_ae_title="OPACITY_NODE", timeout_s=10)
    with Orthanc(tmp_path / "orthanc", settings=settings) as orthanc:
        called = functools.partial(peer, port=orthanc.port, context=functools.partial(client_context, folder))
        ours = called(certificate_name="localhost")
        assert {outcome.state for outcome in send(images, ours)} == {SendState.SENT}
        with pytest.raises(NoAssociationError, match="is its own for elsewhere and of the ca"):
            refused_by(called(certificate_name="elsewhere"))
        with pytest.raises(NoAssociationError):
            refused_by(peer(port=orthanc.port))
        modality = {"AET": "OPACITY_NODE", "Host": LOOPBACK, "Port": tls_port, "UseDicomTls": True}
        orthanc.rest("PUT", "/modalities/node", modality)
        report = orthanc.rest("POST", "/modalities/node/store", {"Resources": orthanc.instances()})
        assert report["FailedInstancesCount"] == 0
        assert report["InstancesCount"] == len(images)


def refused_by(peer):
    with associate(peer, [build_context(VERIFICATION)]):
        pass


def test_what_was_refused_is_counted_for_whoever_asks(node, tls_port, config):
    with socket.create_connection((LOOPBACK, tls_port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.recv(100)
    report = until(lambda: (found := last_refused(node.storage)) and found.counts.get("tls") and found)
    assert report.counts["tls"] >= 1
    shown = opacity_node("status", "--config", config).stdout
    assert re.search(r"refused since .*\b[1-9]\d* tls", " ".join(shown.split()))
    said = json.loads(opacity_node("status", "--config", config, "--json").stdout)
    assert said["refused"]["counts"]["tls"] >= 1


def test_a_monitor_is_answered_on_either_port_without_an_entry_of_its_own(node, config):
    settings = load(config)
    assert answers(settings)
    secured = settings.dicom.model_copy(update={"port": 0})
    assert answers(settings.model_copy(update={"dicom": secured}))
    nowhere = secured.model_copy(update={"tls_port": free_port()})
    assert not answers(settings.model_copy(update={"dicom": nowhere}))
    assert silent_ports(settings.model_copy(update={"dicom": nowhere})) == [nowhere.tls_port]


def test_a_new_certificate_counts_at_once_and_a_broken_one_leaves_the_old(
    node, config, tls_port, images, scanner, authority, tmp_path, logged
):
    renewed = Authority(tmp_path / "new", "NewCA")
    bearer = renewed.issue("node")
    shutil.copy(bearer.certificate, config.parent / "node.pem")
    shutil.copy(bearer.key, config.parent / "node.key")
    node.process.send_signal(signal.SIGHUP)
    assert until(lambda: logged("another TLS certificate is in use"))
    assert sent(images, tls_port, shows(scanner, renewed))
    assert not sent(images, tls_port, shows(scanner, authority))

    (config.parent / "node.pem").write_text("no certificate")
    assert until(lambda: logged("the TLS certificate in use stays: [dicom.tls] certificate"))  # without being told
    assert sent(images, tls_port, shows(scanner, renewed))


def test_who_may_call_counts_at_once_when_the_configuration_is_read_again(node, config, images, logged):
    config.write_text(config.read_text().replace('"OTHER", ', ""))
    node.process.send_signal(signal.SIGHUP)
    assert until(lambda: logged("configuration reloaded; changed: dicom"))
    assert not sent(images, node.peer.port, [], calling_aet="OTHER")


def test_a_node_without_its_certificate_does_not_start_and_says_what_to_do(tmp_path, authority):
    file = write_config(tmp_path, pacs_port=free_port())
    access = (
        f'tls_port = {free_port()}\n[dicom.tls]\ncertificate = "no.pem"\nkey = "no.key"\nca = "{authority.certificate}"'
    )
    file.write_text(file.read_text().replace("\n[storage]", f"{access}\n[storage]", 1))
    for command in (["serve", "--config"], ["check-config"]):
        done = subprocess.run(
            [sys.executable, "-m", "node", *command, str(file)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        said = " ".join(done.stderr.split())
        assert "no.pem with key" in said
        assert "cannot be used (no such file or directory): give a PEM certificate" in said
        assert "Traceback" not in said


def test_the_files_of_tls_are_told_apart_when_one_cannot_be_used(tmp_path, authority, scanner):
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(OSError, match=r"ca .*empty.pem cannot be used"):
        client_context(Tls(ca=tmp_path / "empty.pem"))
    other = authority.issue("another")
    with pytest.raises(OSError, match="key values mismatch"):
        client_context(Tls(certificate=scanner.certificate, key=other.key, ca=authority.certificate))
