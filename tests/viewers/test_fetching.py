"""OHIF is what was pinned, or it is not used."""

import base64
import hashlib
import tarfile

import pytest

from tests.viewers import ohif


@pytest.fixture
def tarball(tmp_path):
    """An npm package with a viewer's page and what a viewer does not need."""
    for name in ("dist/index.html", "dist/ort/model.wasm", "package.json"):
        file = tmp_path / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    return path


def test_a_package_of_another_hash_is_not_unpacked(tarball, tmp_path):
    with pytest.raises(ohif.FetchError, match="not the pinned"):
        ohif._unpack(tarball, tmp_path / "ohif")
    assert not (tmp_path / "ohif").exists()


def test_of_the_pinned_package_the_viewer_is_unpacked_and_no_more(tarball, tmp_path, monkeypatch):
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    monkeypatch.setattr(ohif, "SHA512", digest)
    unpacked = ohif._unpack(tarball, tmp_path / "ohif")
    assert [file.name for file in unpacked.rglob("*") if file.is_file()] == ["index.html"]


def test_what_is_there_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(ohif, "_pack", pytest.fail)
    (ohif.folder()).mkdir(parents=True)
    (ohif.folder() / "index.html").touch()
    assert ohif.fetch() == ohif.folder()


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_ohif_a_test_is_skipped_or_where_peers_are_required_fails(required, outcome, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("REQUIRE_PEERS", required)
    with pytest.raises(outcome, match=r"tests\.viewers\.ohif fetches it"):
        ohif.need_ohif()
