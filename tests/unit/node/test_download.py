"""The file server misbehaves in every way that one is known to; no test sleeps: pauses are counted."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from node import download
from node.answers import DownloadError
from node.download import Downloader, Wanted
from tests import file_server
from tests.file_server import FileServer, blind, claims, cut, hangs_up, leads_to, says, web_page, without_length

DATA = os.urandom(700_000)
CHUNK = download._CHUNK


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with FileServer(DATA) as running:
        yield running


class Attempt:
    """A download into a folder, with its pauses."""

    def __init__(self, folder, url, **known):
        self.path, self.pauses, self.progress = folder / "weights.pth.part", [], []
        self.wanted = Wanted(url=url, path=self.path, **known)

    def run(self, **how):
        downloader = Downloader(pause=self.pauses.append, **how)
        downloader.fetch(self.wanted, lambda done, of: self.progress.append((done, of)))
        return self.path.read_bytes()


@pytest.fixture
def attempt(server, tmp_path):
    return Attempt(tmp_path, server.url(), size=len(DATA))


def test_a_file_comes_whole_with_its_progress_and_leaves_no_note(server, attempt, tmp_path):
    assert attempt.run() == DATA
    assert attempt.progress[-1] == (len(DATA), len(DATA))
    assert attempt.progress == sorted(attempt.progress)
    assert list(tmp_path.iterdir()) == [attempt.path]
    assert attempt.pauses == []


def test_a_cut_connection_is_resumed_where_it_was_cut(server, attempt):
    server.script(cut(3 * CHUNK + 100), cut(CHUNK))
    assert attempt.run() == DATA
    assert server.ranges() == [None, f"bytes={3 * CHUNK}-", f"bytes={4 * CHUNK}-"]
    assert server.requests[1].headers["If-Range"] == '"one"'


def test_what_came_before_the_program_ended_is_resumed_by_the_next_one(server, attempt, tmp_path):
    server.script(cut(2 * CHUNK), *[says(503)] * 20)
    with pytest.raises(DownloadError, match=r"503.*gave up"):
        attempt.run()
    server.answers.clear()
    server.requests.clear()
    again = Attempt(tmp_path, server.url(), size=len(DATA))
    assert again.run() == DATA
    assert server.ranges() == [f"bytes={2 * CHUNK}-"]


def test_a_whole_part_of_an_earlier_program_is_not_fetched_again(server, attempt, tmp_path):
    attempt.path.write_bytes(DATA)
    (tmp_path / "weights.pth.part.json").write_text(json.dumps({"url": server.url(), "mark": '"one"'}))
    assert attempt.run() == DATA
    assert attempt.progress == []


def test_a_file_that_changed_between_two_attempts_is_begun_again(server, attempt):
    other = os.urandom(len(DATA))

    def changes(handler):
        cut(300_000)(handler)
        server.data, server.etag = other, '"two"'

    server.script(changes)
    assert attempt.run() == other


def test_a_server_that_resumes_a_changed_file_in_spite_of_if_range_is_found_out(server, attempt):
    other = os.urandom(len(DATA))

    def changes(handler):
        cut(300_000)(handler)
        server.data, server.etag = other, '"two"'

    def careless(handler):
        del handler.headers["If-Range"]
        file_server.serve(handler)

    server.script(changes, careless)
    assert attempt.run() == other


def test_without_a_mark_of_the_file_nothing_is_resumed(server, attempt):
    server.etag = ""
    server.script(cut(300_000))
    assert attempt.run() == DATA
    assert server.ranges() == [None, None]


def test_a_weak_tag_is_no_mark(server, attempt):
    server.etag = 'W/"one"'
    server.script(cut(300_000))
    assert attempt.run() == DATA
    assert server.ranges() == [None, None]


def test_a_part_of_another_address_is_not_resumed(server, attempt, tmp_path):
    attempt.path.write_bytes(b"something else")
    (tmp_path / "weights.pth.part.json").write_text(json.dumps({"url": "https://example.org/x", "mark": '"one"'}))
    assert attempt.run() == DATA
    assert server.ranges() == [None]


def test_a_broken_note_only_costs_the_bytes(server, attempt, tmp_path):
    attempt.path.write_bytes(DATA[:1000])
    (tmp_path / "weights.pth.part.json").write_text("[broken")
    assert attempt.run() == DATA


def test_a_server_that_ignores_ranges_sends_everything_again(server, attempt):
    server.script(cut(300_000), blind)
    assert attempt.run() == DATA


def test_a_part_longer_than_the_servers_file_is_begun_again(server, attempt, tmp_path):
    attempt.path.write_bytes(DATA + b"more")
    (tmp_path / "weights.pth.part.json").write_text(json.dumps({"url": server.url(), "mark": '"one"'}))
    assert attempt.run() == DATA


@pytest.mark.parametrize("length", [100, len(DATA) + 100])
def test_a_server_that_offers_another_size_than_is_known_is_not_asked_again(server, attempt, length):
    server.script(claims(length))
    with pytest.raises(DownloadError, match=f"offers {length} bytes, expected {len(DATA)}"):
        attempt.run()
    assert len(server.requests) == 1


def test_a_length_that_is_too_great_ends_after_a_few_attempts_where_no_size_is_known(server, tmp_path):
    server.script(*[claims(len(DATA) + 100)] * 100)
    attempt = Attempt(tmp_path, server.url())
    with pytest.raises(DownloadError, match="gave up"):
        attempt.run()
    assert len(server.requests) < 20


def test_a_length_that_is_too_small_cuts_the_file_where_no_size_is_known(server, tmp_path):
    """Only a hash can tell; `test_installation` shows that it does."""
    server.script(claims(1000))
    assert Attempt(tmp_path, server.url()).run() == DATA[:1000]


def test_without_a_length_more_than_the_known_size_is_refused(server, attempt):
    server.data = DATA + b"more"
    server.script(without_length)
    with pytest.raises(DownloadError, match="more than 700000 bytes"):
        attempt.run()
    assert not attempt.path.exists()


def test_without_a_length_less_than_the_known_size_is_a_cut(server, attempt):
    whole, server.data = DATA, DATA[:1000]

    def grows(handler):
        without_length(handler)
        server.data = whole

    server.script(grows)
    assert attempt.run() == DATA
    assert len(attempt.pauses) == 1


def test_redirects_are_followed(server, attempt):
    server.script(leads_to("/elsewhere"), leads_to(server.url("at-last")))
    assert attempt.run() == DATA
    assert [request.path for request in server.requests] == ["/weights.pth", "/elsewhere", "/at-last"]


def test_redirects_in_a_circle_end(server, attempt):
    server.script(*[leads_to(server.url())] * 100)
    with pytest.raises(DownloadError, match="in a circle"):
        attempt.run()
    assert len(server.requests) == 10


@pytest.mark.parametrize(
    ("origin", "target", "may"),
    [
        ("https://a.org/x", "https://b.org/x", True),
        ("http://a.org/x", "https://a.org/x", True),
        ("http://a.org/x", "http://b.org/x", True),
        ("https://a.org/x", "http://a.org/x", False),
        ("https://a.org/x", "ftp://a.org/x", False),
        ("https://a.org/x", "file:///etc/passwd", False),
        ("http://a.org/x", "file:///etc/passwd", False),
    ],
)
def test_a_redirect_never_leaves_tls_nor_http(origin, target, may):
    assert download._may_redirect(origin, target) is may


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, "password"),
        (403, "forbids it"),
        (404, "no such file"),
        (407, "HTTPS_PROXY"),
        (410, "removed"),
        (451, "may not"),
        (418, "teapot|Teapot"),
    ],
)
def test_what_will_not_pass_is_said_in_words_and_not_tried_again(server, attempt, code, words):
    server.script(says(code))
    with pytest.raises(DownloadError, match=words) as caught:
        attempt.run()
    assert str(code) in str(caught.value)
    assert "opacity-node models add" in str(caught.value)
    assert len(server.requests) == 1
    assert attempt.pauses == []


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_what_may_pass_is_tried_again_with_growing_pauses(server, attempt, code):
    server.script(says(code), says(code), says(code))
    assert attempt.run() == DATA
    assert attempt.pauses == [2, 4, 8]


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(server, attempt):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.script(says(429, Retry_After="7"), says(503, Retry_After=soon), says(429, Retry_After="nonsense"))
    assert attempt.run() == DATA
    assert attempt.pauses[0] == 7
    assert 50 < attempt.pauses[1] <= 60
    assert attempt.pauses[2] == 8


def test_a_server_that_wants_hours_is_told_to_the_person(server, attempt):
    server.script(says(429, Retry_After="7200"))
    with pytest.raises(DownloadError, match="come back in 7200 s"):
        attempt.run()
    assert attempt.pauses == []


def test_it_gives_up_after_a_few_attempts_that_bring_nothing(server, attempt):
    server.script(*[says(500)] * 100)
    with pytest.raises(DownloadError, match=r"500.*gave up"):
        attempt.run()
    assert len(server.requests) == 6


def test_a_trickle_of_bytes_does_not_keep_it_for_ever(server, attempt, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS_AT_MOST", 8)
    server.script(*[cut(CHUNK)] * 1000)
    with pytest.raises(DownloadError, match="gave up"):
        attempt.run()
    assert attempt.path.stat().st_size == 8 * CHUNK


def test_a_server_that_hangs_up_is_tried_again(server, attempt):
    server.script(hangs_up)
    assert attempt.run() == DATA


def test_a_web_page_is_not_taken_for_weights(server, tmp_path):
    server.script(web_page)
    with pytest.raises(DownloadError, match="web page"):
        Attempt(tmp_path, server.url()).run()


def test_nobody_there_is_said_with_the_host(tmp_path):
    attempt = Attempt(tmp_path, "http://127.0.0.1:9/x")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 cannot be reached.*gave up"):
        attempt.run()


def test_the_disk_is_looked_at_before_anything_is_fetched(server, attempt, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1000))
    with pytest.raises(DownloadError, match=r"MB free.*--to-dir"):
        attempt.run()
    assert server.requests == []


def test_where_only_the_server_knows_the_size_the_disk_is_looked_at_then(server, tmp_path, monkeypatch):
    room = 64 * 1024 * 1024 + 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, room))
    attempt = Attempt(tmp_path, server.url())
    with pytest.raises(DownloadError, match="MB free"):
        attempt.run()
    assert not attempt.path.exists()


def test_a_disk_that_fills_meanwhile_ends_it_in_words(server, attempt, monkeypatch):
    real = download._check_room
    calls = []

    def fills(folder, needed):
        calls.append(needed)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(folder, needed)

    monkeypatch.setattr(download, "_check_room", fills)
    with pytest.raises(DownloadError, match="is full"):
        attempt.run()


def test_a_proxy_of_the_environment_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    monkeypatch.setenv("http_proxy", server.url(""))
    attempt = Attempt(tmp_path, "http://weights.example.org/weights.pth", size=len(DATA))
    assert attempt.run() == DATA
    assert server.requests[0].path == "http://weights.example.org/weights.pth"


def test_no_proxy_of_the_environment_is_heeded(server, attempt, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert attempt.run() == DATA


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", files[0], "-keyout", files[1]),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.mark.parametrize("by", ["argument", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_of_a_site_are_honoured(certificate, tmp_path, monkeypatch, by):
    with FileServer(DATA, certificate=certificate) as server:
        attempt = Attempt(tmp_path, server.url(), size=len(DATA))
        if by == "argument":
            assert attempt.run(ca_bundle=certificate[0]) == DATA
        else:
            monkeypatch.setenv(by, str(certificate[0]))
            assert attempt.run() == DATA


def test_a_certificate_that_is_not_trusted_is_said_with_the_remedy(certificate, tmp_path):
    with FileServer(DATA, certificate=certificate) as server:
        attempt = Attempt(tmp_path, server.url())
        with pytest.raises(DownloadError, match=r"not trusted.*--ca-bundle"):
            attempt.run()
        assert attempt.pauses == []


def test_a_redirect_from_https_to_http_is_not_followed(certificate, server, tmp_path):
    with FileServer(DATA, certificate=certificate) as secure:
        secure.script(leads_to(server.url()))
        with pytest.raises(DownloadError, match="nothing protects"):
            Attempt(tmp_path, secure.url()).run(ca_bundle=certificate[0])
    assert server.requests == []


def test_a_death_before_the_first_byte_of_a_changed_file_leaves_no_old_bytes_under_its_mark(
    server, attempt, tmp_path, monkeypatch
):
    attempt.path.write_bytes(b"bytes of the file before")
    (tmp_path / "weights.pth.part.json").write_text(json.dumps({"url": server.url(), "mark": '"zero"'}))

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(download, "_receive", die)
        with pytest.raises(KeyboardInterrupt):
            attempt.run()
    assert attempt.run() == DATA
