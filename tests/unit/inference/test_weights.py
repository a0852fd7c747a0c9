import hashlib

import pytest

from inference import weights


@pytest.fixture
def pinned(monkeypatch):
    record = weights.Weights(name="toy", file="toy.pth", sha256=hashlib.sha256(b"right").hexdigest(), licence="MIT")
    monkeypatch.setitem(weights.PINNED, "toy", record)
    return record


def test_a_file_that_is_not_there_is_none(pinned, tmp_path):
    assert weights.find("toy", tmp_path) is None
    assert weights.find("toy", tmp_path / "nowhere") is None


def test_the_pinned_file_is_found(pinned, tmp_path):
    (tmp_path / "toy.pth").write_bytes(b"right")
    assert weights.find("toy", tmp_path) == tmp_path / "toy.pth"


def test_another_file_of_that_name_is_an_error_that_says_what_to_do_and_deletes_nothing(pinned, tmp_path):
    path = tmp_path / "toy.pth"
    path.write_bytes(b"wrong")
    with pytest.raises(weights.WrongWeightsError) as caught:
        weights.find("toy", tmp_path)
    message = str(caught.value)
    for part in (str(path), pinned.sha256, hashlib.sha256(b"wrong").hexdigest(), "Replace it"):
        assert part in message
    assert path.read_bytes() == b"wrong"


def test_a_name_without_pin_is_no_weights(tmp_path):
    with pytest.raises(KeyError):
        weights.find("unheard-of", tmp_path)


def test_every_pin_is_a_whole_sha256():
    assert all(len(bytes.fromhex(w.sha256)) == 32 and w.licence for w in weights.PINNED.values())
