import json
import os
from datetime import UTC, datetime

import pytest

from dicom_out import uids
from inference import registry
from inference.findings import Algorithm, Refusal
from inference.weights import (
    MissingWeightsError,
    Verified,
    WrongWeightsError,
    combined_sha256,
    manifest,
    pins,
    records,
    refusals,
)
from inference.weights.records import Record, Records
from inference.weights.shelf import State
from tests.slots import pinned, sha256

URL = "https://example.org/toy.pth"


def record(data, **changes):
    said = {
        "file": "toy-ab.pth",
        "sha256": sha256(data),
        "size": len(data),
        "source": "somewhere",
        "installed_at": datetime(2026, 11, 21, tzinfo=UTC),
        "licence": "MIT",
        "network": "toy",
    }
    return Record(**said | changes)


@pytest.fixture
def installed(put):
    def write(**of):
        put(records.FILE, Records(slots=of).model_dump_json().encode())

    return write


def test_an_empty_slot_is_missing_and_not_found(declare, shelf):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right")})
    assert shelf.standing("toy").state is State.MISSING
    assert shelf.find("toy") is None


def test_a_pinned_file_is_found_also_if_nobody_recorded_it(declare, shelf, put):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right"), "outputs": ["a"], "thresholds": {"a": 0.5}})
    path = put("toy.pth", b"right")
    found = shelf.find("toy")
    assert (found.path, found.sha256) == (path, sha256(b"right"))
    assert (found.outputs, found.thresholds) == (("a",), {"a": 0.5})


@pytest.mark.parametrize("data", [b"wrong", b"long and wrong"])
def test_another_file_of_that_name_is_wrong_and_stays(declare, shelf, put, data):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right"), "size": 5})
    path = put("toy.pth", data)
    assert shelf.standing("toy").state is State.WRONG
    with pytest.raises(WrongWeightsError) as caught:
        shelf.find("toy")
    refusal = caught.value.refusal
    assert refusal.code == "weights-wrong"
    assert "Nothing was deleted" in refusal.remedy
    assert "opacity-node models fetch toy" in refusal.remedy
    assert (sha256(data) in refusal.reason) is (len(data) == 5)
    assert path.read_bytes() == data


@pytest.fixture
def ship(declare, tmp_path, monkeypatch):
    """Let a file come with the program, which its slot expects to hold `right`."""
    monkeypatch.setattr(manifest, "SHIPPED", tmp_path / "shipped")
    manifest.SHIPPED.mkdir()
    declare({"name": "toy", "shipped": True, "pin": pinned(b"right"), "size": 5, "required_by": ["a-pipeline"]})
    return (manifest.SHIPPED / "toy.pth").write_bytes


def test_a_shipped_file_is_found_without_a_weights_folder(ship, shelf):
    ship(b"right")
    assert not shelf.folder.exists()
    assert shelf.require_for("a-pipeline")["toy"].sha256 == sha256(b"right")


def test_what_lies_in_the_weights_folder_does_not_stand_in_for_a_shipped_file(ship, shelf, put, installed):
    ship(b"right")
    put("toy.pth", b"other")
    installed(toy=record(b"other", file="toy.pth"))
    assert shelf.find("toy").path == manifest.SHIPPED / "toy.pth"


def test_a_shipped_file_that_changed_or_is_gone_is_refused_with_the_remedy(ship, shelf):
    with pytest.raises(MissingWeightsError) as missing:
        shelf.require("toy")
    ship(b"wrong")
    with pytest.raises(WrongWeightsError) as wrong:
        shelf.require("toy")
    for caught in (missing, wrong):
        assert "install opacity-node anew" in caught.value.refusal.remedy
        assert "models" not in caught.value.refusal.remedy


def test_without_hashing_only_the_size_tells(declare, shelf, put):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right"), "size": 5})
    put("toy.pth", b"wrong")
    assert shelf.standing("toy", hashed=False).state is State.PRESENT
    put("toy.pth", b"wrong size")
    assert shelf.standing("toy", hashed=False).state is State.WRONG


def test_a_prefix_is_held_to_the_whole_hash_once_it_is_recorded(declare, shelf, put, installed):
    declare(
        {"name": "toy", "url": URL, "pin": {"kind": "sha256-prefix", "value": sha256(b"right")[:8]}, "file": "toy.pth"}
    )
    put("toy.pth", b"right")
    assert shelf.find("toy")
    installed(toy=record(b"other", file="toy.pth"))
    assert "when it was installed" in shelf.standing("toy").message


def test_an_unpinned_file_is_used_only_if_it_was_recorded(declare, shelf, put, installed):
    declare({"name": "toy", "url": URL})
    put("toy.pth", b"whatever")
    standing = shelf.standing("toy")
    assert standing.state is State.MISSING
    assert "unrecorded" in standing.message
    assert f"opacity-node models add toy {shelf.folder / 'toy.pth'}" in standing.message
    installed(toy=record(b"whatever", file="toy.pth"))
    assert shelf.find("toy").sha256 == sha256(b"whatever")


def test_an_unpinned_file_is_held_to_its_record(declare, shelf, put, installed):
    declare({"name": "toy", "url": URL})
    installed(toy=record(b"whatever"))
    put("toy-ab.pth", b"changed.")
    with pytest.raises(WrongWeightsError, match=r"was [0-9a-f]{64} when it was installed"):
        shelf.find("toy")


def test_a_recorded_file_that_is_gone_is_missing_and_says_since_when(declare, shelf, installed):
    declare({"name": "toy"})
    installed(toy=record(b"whatever"))
    assert shelf.standing("toy").message == "toy-ab.pth was installed on 2026-11-21 and is gone"


def test_a_record_says_what_the_outputs_mean(declare, shelf, put, installed):
    declare({"name": "toy", "outputs": ["a", "b"], "thresholds": {"a": 0.5}})
    put("toy-ab.pth", b"whatever")
    installed(toy=record(b"whatever", outputs=("b", "a"), thresholds={"b": 0.25}))
    found = shelf.find("toy")
    assert (found.outputs, found.thresholds) == (("b", "a"), {"b": 0.25})


def test_weights_of_another_network_are_wrong(declare, shelf, put, installed):
    declare({"name": "toy"})
    put("toy-ab.pth", b"whatever")
    installed(toy=record(b"whatever", network="toy of last year"))
    assert "installed for toy of last year, and toy is needed" in shelf.standing("toy").message


def test_a_record_of_a_published_file_that_the_manifest_no_longer_names_does_not_matter(declare, shelf, put, installed):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right")})
    installed(toy=record(b"old", file="toy-1.pth"))
    assert shelf.standing("toy").state is State.MISSING
    put("toy.pth", b"right")
    assert shelf.find("toy")


def test_unreadable_records_stop_what_needs_them_and_nothing_else(declare, shelf, put):
    declare({"name": "pinned", "url": URL, "pin": pinned(b"right")}, {"name": "own"})
    put("pinned.pth", b"right")
    put(records.FILE, b"{broken")
    assert shelf.find("pinned")
    with pytest.raises(WrongWeightsError, match="Restore it from a backup"):
        shelf.find("own")


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", ".hidden", ""])
def test_a_record_cannot_point_out_of_the_folder(declare, shelf, put, file):
    declare({"name": "toy"})
    good = json.loads(record(b"").model_dump_json())
    put(records.FILE, json.dumps({"slots": {"toy": good | {"file": file}}}).encode())
    assert shelf.standing("toy").state is State.WRONG


def test_a_changed_file_is_hashed_anew_and_an_untouched_one_is_not(declare, shelf, put, monkeypatch):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right")})
    path = put("toy.pth", b"right")
    hashed, of = [], pins.of
    monkeypatch.setattr(pins, "of", lambda p: hashed.append(p) or of(p))
    assert shelf.find("toy")
    assert shelf.find("toy")
    assert hashed == [path]
    before = path.stat()
    path.write_bytes(b"wrong")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WrongWeightsError):
        shelf.find("toy")


def test_all_that_is_missing_is_named_with_the_commands(declare, shelf, put):
    declare(
        {"name": "here", "url": URL, "pin": pinned(b"right"), "required_by": ["p"], "file": "here.pth"},
        {"name": "pinned", "url": URL, "pin": pinned(b"right"), "required_by": ["p"]},
        {"name": "unpinned", "url": URL, "required_by": ["p"]},
        {"name": "folder", "form": "nnunet-folder", "file": "folder", "recipe": "boxes", "required_by": ["p"]},
        {"name": "optional", "optional_for": ["p"]},
        {"name": "other", "required_by": ["q"]},
    )
    put("here.pth", b"right")
    with pytest.raises(MissingWeightsError) as caught:
        shelf.require_for("p")
    refusal = caught.value.refusal
    assert refusal.code == "weights-missing"
    assert refusal.reason == "Weights are not installed: pinned, unpinned, folder."
    commands = (
        "Install them (opacity-node models fetch pinned unpinned --accept-unpinned; opacity-node models add folder "
        "PATH; PATH can be made with `opacity-node train boxes`: docs/training.md)"
    )
    assert refusal.remedy == f"{commands}."
    of_a_node = f"{commands}, then run what was refused (opacity-node models rerun)."
    assert refusals.of_a_job(refusal).remedy == of_a_node


def test_of_many_that_are_missing_their_number_is_said_and_what_lists_them(declare, shelf, put):
    declare(*({"name": name, "recipe": "p", "required_by": ["p"]} for name in "abcd"))
    with pytest.raises(MissingWeightsError) as caught:
        shelf.require_for("p")
    assert str(caught.value) == (
        "4 of 4 weights of p are missing. Install them (`opacity-node pipelines p` lists them with their commands)."
    )
    assert [slot.name for slot in caught.value.slots] == ["a", "b", "c", "d"]


def test_a_refusal_for_other_reasons_is_not_run_again():
    refusal = Refusal(code="slice-thickness", reason="Too thick.", remedy="Send thin slices.")
    assert refusals.of_a_job(refusal) == refusal


def test_a_pipeline_with_all_its_weights_gets_them_verified(declare, shelf, put):
    declare({"name": "toy", "url": URL, "pin": pinned(b"right"), "required_by": ["p"]})
    put("toy.pth", b"right")
    assert shelf.require_for("p")["toy"].sha256 == sha256(b"right")
    assert shelf.require_for("nobody") == {}


def test_no_pipeline_is_made_without_the_weights_it_requires(declare, shelf, put, monkeypatch):
    made = []
    monkeypatch.setitem(registry._PIPELINES, "p", lambda *, weights, **_: made.append(weights))
    monkeypatch.setattr(registry, "CARDS", {"p": registry.CARDS["lung-fields"]})
    declare({"name": "toy", "url": URL, "pin": pinned(b"right"), "required_by": ["p"]})
    with pytest.raises(MissingWeightsError):
        registry.load("p", weights=shelf.folder)
    put("toy.pth", b"wrong")
    with pytest.raises(WrongWeightsError):
        registry.load("p", weights=shelf.folder)
    assert made == []
    put("toy.pth", b"right")
    registry.load("p", weights=shelf.folder)
    assert made == [shelf.folder]


@pytest.fixture
def verified(declare, tmp_path):
    one, other = declare({"name": "one"}, {"name": "other"})

    def make(first="ab" * 32, second="cd" * 32):
        return [
            Verified(slot=one, path=tmp_path, sha256=first),
            Verified(slot=other, path=tmp_path, sha256=second),
        ]

    return make


def test_the_hash_over_several_files_does_not_depend_on_their_order_and_is_not_that_of_one(verified):
    both = verified()
    assert combined_sha256(both) == combined_sha256(both[::-1])
    assert combined_sha256(both) == sha256(f"{'ab' * 32}  one\n{'cd' * 32}  other\n".encode())
    assert combined_sha256(both[:1]) == "ab" * 32
    with pytest.raises(ValueError, match="no weights"):
        combined_sha256([])


def test_a_new_hash_of_any_file_is_a_new_device(verified):
    hashes = [
        combined_sha256(used)
        for used in (verified(), verified(first="ef" * 32), verified(second="ef" * 32), verified("cd" * 32, "ab" * 32))
    ]
    devices = {uids.device_uid("p", Algorithm(name="p", version="1", weights_sha256=sha)) for sha in hashes}
    assert len(devices) == 4
