import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.weights import pins
from inference.weights.pins import Digest, Pin, PinKind

texts = st.text(st.characters(codec="ascii", exclude_characters="\n\\"), min_size=1, max_size=8)


def test_a_file_is_hashed_as_sha256sum_and_git_hash_it(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights" * 300_000)
    digest = pins.of(path)
    assert digest.size == path.stat().st_size
    assert digest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    git = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert digest.git_blob_sha1 == git.stdout.strip()


def test_a_folder_is_hashed_as_the_documented_command_does(tmp_path):
    for name in ("plans.json", "fold_0/checkpoint_final.pth", "fold_10/checkpoint_final.pth", "fold-0.txt", "ä.txt"):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    command = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    assert command in pins.of_folder.__doc__
    said = subprocess.run(command, shell=True, cwd=tmp_path / "model", capture_output=True, text=True, check=True)  # noqa: S602
    assert pins.of(tmp_path / "model").sha256 == said.stdout.split()[0]


@pytest.mark.parametrize("change", ["content", "name", "place", "one more", "one less"])
def test_whatever_changes_in_a_folder_changes_its_hash(tmp_path, change):
    model = tmp_path / "model"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text("{}")
    (model / "fold_0" / "a").write_text("a")
    before = pins.of(model).sha256
    match change:
        case "content":
            (model / "plans.json").write_text("[]")
        case "name":
            (model / "plans.json").rename(model / "plan.json")
        case "place":
            (model / "fold_0" / "a").rename(model / "a")
        case "one more":
            (model / "empty").touch()
        case "one less":
            (model / "fold_0" / "a").unlink()
    assert pins.of(model).sha256 != before


def test_empty_folders_and_links_have_no_hash(tmp_path):
    with pytest.raises(ValueError, match="holds no file"):
        pins.of(tmp_path)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        pins.of(tmp_path)


@given(one=st.dictionaries(texts, texts, max_size=4), other=st.dictionaries(texts, texts, max_size=4))
def test_different_listings_have_different_hashes_whatever_their_order(one, other):
    reversed_one = dict(reversed(one.items()))
    assert pins.listing_sha256(one) == pins.listing_sha256(reversed_one)
    assert (pins.listing_sha256(one) == pins.listing_sha256(other)) == (one == other)


DIGEST = Digest(size=1, sha256="ab" * 32, git_blob_sha1="cd" * 20)


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        (PinKind.SHA256, "ab" * 32, True),
        (PinKind.SHA256, "ab" * 31 + "ac", False),
        (PinKind.SHA256_PREFIX, "ab" * 4, True),
        (PinKind.SHA256_PREFIX, "ab" * 3 + "aa", False),
        (PinKind.GIT_BLOB_SHA1, "cd" * 20, True),
        (PinKind.GIT_BLOB_SHA1, "ab" * 20, False),
    ],
)
def test_every_kind_of_pin_fits_its_own_hash_alone(kind, value, fits):
    pin = Pin(kind=kind, value=value)
    assert pin.fits(DIGEST) is fits
    assert (pin.of(DIGEST) == value) is fits
