"""Weights fetched from a server that misbehaves, and added from files; what was installed before must never suffer."""

import fcntl
import io
import json
import os
import shutil

import pytest
import torch

from inference.weights import Shelf, pins, records
from inference.weights.shelf import State
from node import installation
from node.answers import DownloadError
from node.download import Downloader
from node.installation import Installation, InstallationError
from tests import slots
from tests.file_server import FileServer, claims, cut, leads_to, says
from tests.slots import pinned, sha256


def saved(**tensors):
    buffer = io.BytesIO()
    torch.save({name: torch.tensor(value) for name, value in tensors.items()}, buffer)
    return buffer.getvalue()


RIGHT, OTHER = saved(bias=[1.0, 2.0]), saved(bias=[3.0, 4.0])


@pytest.fixture
def declare(monkeypatch):
    return lambda **slot: slots.declare(monkeypatch, {"name": "toy"} | slot)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "site" / "weights"


@pytest.fixture
def site(folder):
    return Installation(folder)


@pytest.fixture
def server():
    with FileServer(RIGHT) as running:
        yield running


@pytest.fixture
def downloader():
    return Downloader(pause=lambda _: None)


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_pinned_file_is_fetched_verified_recorded_and_found(declare, site, folder, server, downloader):
    slot = declare(url=server.url("toy.pth"), pin=pinned(RIGHT), size=len(RIGHT), outputs=["a", "b"])
    record = site.fetch(slot, downloader)
    assert visible(folder) == ["installed.json", "toy.pth"]
    assert (record.sha256, record.source, record.size) == (sha256(RIGHT), slot.url, len(RIGHT))
    assert (record.licence, record.network, record.outputs) == ("MIT", "toy", ("a", "b"))
    assert Shelf(folder).find("toy").path.read_bytes() == RIGHT
    assert records.read(folder) == {"toy": record}


def test_what_is_there_is_not_fetched_again(declare, site, server, downloader):
    slot = declare(url=server.url(), pin=pinned(RIGHT))
    assert site.fetch(slot, downloader) is not None
    assert site.fetch(slot, downloader) is None
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["sha256", "sha256-prefix", "git-blob-sha1"])
def test_every_kind_of_pin_lets_its_file_pass_and_no_other(declare, site, folder, server, downloader, kind):
    path = folder.parent / "x"
    path.parent.mkdir(parents=True)
    path.write_bytes(RIGHT)
    digest = pins.of_file(path)
    value = {"sha256": digest.sha256, "sha256-prefix": digest.sha256[:8], "git-blob-sha1": digest.git_blob_sha1}[kind]
    slot = declare(url=server.url(), pin={"kind": kind, "value": value})
    server.data = OTHER
    with pytest.raises(InstallationError, match=f"its {kind} is [0-9a-f]+, expected {value}"):
        site.fetch(slot, downloader)
    assert Shelf(folder).find("toy") is None
    server.data = RIGHT
    assert site.fetch(slot, downloader).sha256 == digest.sha256


def test_wrong_bytes_replace_nothing_that_worked(declare, site, folder, server, downloader):
    old = declare(url=server.url(), pin=pinned(RIGHT))
    site.fetch(old, downloader)
    before = (folder / "installed.json").read_bytes()
    new = declare(url=server.url(), pin=pinned(OTHER), file="toy-2.pth")
    server.data = b"neither"
    with pytest.raises(InstallationError, match="what was installed before is untouched"):
        site.fetch(new, downloader)
    assert (folder / "toy.pth").read_bytes() == RIGHT
    assert (folder / "installed.json").read_bytes() == before
    server.data = OTHER
    site.fetch(new, downloader)
    assert visible(folder) == ["installed.json", "toy-2.pth"]


def test_a_wrong_file_in_the_place_is_replaced_by_the_right_one_only(declare, site, folder, server, downloader):
    slot = declare(url=server.url(), pin=pinned(RIGHT))
    folder.mkdir(parents=True)
    (folder / "toy.pth").write_bytes(b"wrong")
    server.script(says(404))
    with pytest.raises(DownloadError):
        site.fetch(slot, downloader)
    assert (folder / "toy.pth").read_bytes() == b"wrong"
    site.fetch(slot, downloader)
    assert (folder / "toy.pth").read_bytes() == RIGHT


def test_a_length_that_is_too_small_is_found_out_by_the_hash(declare, site, folder, server, downloader):
    slot = declare(url=server.url(), pin=pinned(RIGHT))
    server.script(claims(100))
    with pytest.raises(InstallationError, match="is not the file that is wanted"):
        site.fetch(slot, downloader)
    assert site.fetch(slot, downloader).sha256 == sha256(RIGHT)


def test_cuts_and_redirects_end_in_the_right_file(declare, site, folder, server, downloader):
    server.data = big = saved(bias=[0.5] * 100_000)
    slot = declare(url=server.url(), pin=pinned(big), size=len(big))
    server.script(leads_to("/elsewhere"), cut(200_000), says(503), says(429, Retry_After="1"))
    site.fetch(slot, downloader)
    assert Shelf(folder).find("toy").sha256 == sha256(big)
    assert [path.name for path in folder.glob("*.part*")] == []


def test_an_unpinned_file_needs_consent(declare, site, folder, server, downloader):
    slot = declare(url=server.url())
    with pytest.raises(InstallationError, match="--accept-unpinned"):
        site.fetch(slot, downloader)
    assert server.requests == []
    record = site.fetch(slot, downloader, accept_unpinned=True)
    assert record.file == f"toy-{sha256(RIGHT)[:12]}.pth"
    assert Shelf(folder).find("toy").sha256 == sha256(RIGHT)


def test_an_accepted_file_is_held_to(declare, site, folder, server, downloader):
    slot = declare(url=server.url())
    record = site.fetch(slot, downloader, accept_unpinned=True)
    (folder / record.file).write_bytes(OTHER)
    assert Shelf(folder).standing("toy").state is State.WRONG
    server.data, server.etag = OTHER, '"two"'
    with pytest.raises(InstallationError, match="opacity-node models remove toy, then fetch it again"):
        site.fetch(slot, downloader, accept_unpinned=True)
    assert records.read(folder) == {"toy": record}
    server.data = RIGHT
    assert site.fetch(slot, downloader, accept_unpinned=True).sha256 == record.sha256
    server.data = OTHER
    site.remove(slot)
    assert site.fetch(slot, downloader, accept_unpinned=True).sha256 == sha256(OTHER)


def test_what_nobody_publishes_cannot_be_fetched(declare, site, downloader):
    with pytest.raises(InstallationError, match="opacity-node models add toy PATH"):
        site.fetch(declare(), downloader)


def test_a_shipped_file_is_neither_fetched_nor_added_nor_removed(declare, site, downloader, own):
    slot = declare(shipped=True, pin=pinned(b"x"))
    for call in (lambda: site.fetch(slot, downloader), lambda: site.add(slot, own), lambda: site.remove(slot)):
        with pytest.raises(InstallationError, match="toy comes with opacity-node"):
            call()


def test_a_file_fetched_elsewhere_is_added_and_verified_by_its_pin(declare, site, folder, server, downloader, tmp_path):
    slot = declare(url=server.url("toy.pth"), pin=pinned(RIGHT))
    carried = tmp_path / "carried"
    Installation(carried).fetch(slot, downloader)
    site.add(slot, carried / "toy.pth")
    assert Shelf(folder).find("toy").sha256 == sha256(RIGHT)
    assert (carried / "toy.pth").exists()
    (carried / "toy.pth").write_bytes(OTHER)
    with pytest.raises(InstallationError, match="is not the published file"):
        site.add(slot, carried / "toy.pth")
    assert Shelf(folder).find("toy").sha256 == sha256(RIGHT)


def test_a_carried_folder_is_a_weights_folder(declare, server, downloader, tmp_path, folder):
    slot = declare(url=server.url())
    Installation(tmp_path / "carried").fetch(slot, downloader, accept_unpinned=True)
    shutil.copytree(tmp_path / "carried", folder)
    assert Shelf(folder).find("toy").sha256 == sha256(RIGHT)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "my network.pth"
    path.write_bytes(RIGHT)
    return path


def test_a_sites_own_file_is_copied_recorded_and_replaced_at_once(declare, site, folder, own):
    slot = declare(outputs=["a", "b"], output_key="bias", thresholds={"a": 0.5})
    first = site.add(slot, own)
    assert (first.source, first.outputs, first.thresholds) == (str(own), ("a", "b"), {"a": 0.5})
    assert visible(folder) == ["installed.json", first.file]
    own.write_bytes(OTHER)
    second = site.add(slot, own, outputs=("b", "a"), thresholds={"b": 0.25})
    assert (second.outputs, second.thresholds) == (("b", "a"), {"a": 0.5, "b": 0.25})
    assert visible(folder) == ["installed.json", second.file]
    assert Shelf(folder).find("toy").sha256 == sha256(OTHER)
    assert oct((folder / second.file).stat().st_mode & 0o444) == "0o444"  # the node's user may be another


def test_safetensors_keep_their_suffix(declare, site, folder, tmp_path):
    from safetensors.torch import save_file

    save_file({"bias": torch.ones(2)}, tmp_path / "own.safetensors")
    record = site.add(declare(), tmp_path / "own.safetensors")
    assert record.file.endswith(".safetensors")
    assert Shelf(folder).find("toy")


def named(path, outputs):
    from safetensors.torch import save_file

    save_file({"bias": torch.ones(2)}, path, metadata={"outputs": outputs})
    return path


def test_a_file_that_names_its_outputs_is_believed(declare, site, folder, tmp_path):
    slot = declare(outputs=["a", "b"], output_key="bias")
    record = site.add(slot, named(tmp_path / "own.safetensors", "b, a"))
    assert record.outputs == Shelf(folder).find("toy").outputs == ("b", "a")


@pytest.mark.parametrize(
    ("said", "given", "why"),
    [
        ("b, c", (), "must be these, in any order: a, b"),
        ("b, a", ("a", "b"), "the file says that its outputs are b, a"),
    ],
    ids=["unknown", "another order given"],
)
def test_outputs_that_a_file_names_must_be_known_and_are_not_overruled(declare, site, tmp_path, said, given, why):
    slot = declare(outputs=["a", "b"], output_key="bias")
    with pytest.raises(InstallationError, match=why):
        site.add(slot, named(tmp_path / "own.safetensors", said), outputs=given)


class Exploit:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_what_cannot_be_read_as_weights_is_not_taken_in(declare, site, folder, own, tmp_path):
    slot = declare(outputs=["a", "b", "c"], output_key="bias")
    with pytest.raises(InstallationError, match="bias is for 2 outputs, and 3 are named"):
        site.add(slot, own)
    torch.save(Exploit(tmp_path / "executed"), own)
    with pytest.raises(InstallationError, match="holds more than weights"):
        site.add(slot, own)
    assert not (tmp_path / "executed").exists()
    own.write_bytes(b"rubbish")
    with pytest.raises(InstallationError, match=r"is not read|cannot be read"):
        site.add(slot, own)
    assert visible(folder) == []
    assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"outputs": ("a",)}, "must be these, in any order: a, b"),
        ({"outputs": ("a", "c")}, "must be these"),
        ({"outputs": ("a", "a")}, "must be these"),
        ({"thresholds": {"c": 1.0}}, "has no output c"),
    ],
)
def test_outputs_are_those_of_the_slot(declare, site, own, given, why):
    with pytest.raises(InstallationError, match=why):
        site.add(declare(outputs=["a", "b"]), own, **given)


def test_the_meaning_of_a_published_file_cannot_be_set(declare, site, own):
    slot = declare(outputs=["a", "b"], url="https://example.org/toy.pth", pin=pinned(RIGHT))
    with pytest.raises(InstallationError, match="cannot be set"):
        site.add(slot, own, outputs=("b", "a"))


@pytest.fixture
def model(tmp_path):
    """An nnU-Net model folder, as far as it is read when it is added."""
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__2d"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps({"configurations": {"2d": {}}}))
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "opacity": 1}}))
    weights = {"network_weights": {"bias": torch.ones(2)}, "init_args": {"configuration": "2d"}}
    torch.save(weights | {"trainer_name": "nnUNetTrainer"}, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def test_a_model_folder_is_copied_whole_and_held_to_its_hash(declare, site, folder, model):
    slot = declare(form="nnunet-folder", file="toy", outputs=["background", "opacity"])
    record = site.add(slot, model)
    assert record.sha256 == pins.of(model).sha256
    installed = folder / record.file
    assert pins.of(installed) == pins.of(model)
    assert Shelf(folder).find("toy").path == installed
    (installed / "plans.json").write_text("{}")
    assert Shelf(folder).standing("toy").state is State.WRONG
    assert site.add(slot, model) == record.model_copy(
        update={"installed_at": records.read(folder)["toy"].installed_at}
    )  # the same folder again mends it
    assert Shelf(folder).standing("toy").state is State.PRESENT
    (model / "note.txt").write_text("retrained")
    site.add(slot, model)
    assert len(visible(folder)) == 2
    site.remove(slot)
    assert visible(folder) == ["installed.json"]


def test_a_folder_with_a_link_is_not_taken_in(declare, site, folder, model):
    (model / "link").symlink_to("/etc/passwd")
    with pytest.raises(InstallationError, match="neither a file nor a folder"):
        site.add(declare(form="nnunet-folder", file="toy"), model)
    assert visible(folder) == []


def test_a_file_is_no_folder_and_a_folder_no_file(declare, site, model, own):
    with pytest.raises(InstallationError, match="takes an nnU-Net model folder"):
        site.add(declare(form="nnunet-folder", file="toy"), own)
    with pytest.raises(InstallationError, match="takes a file"):
        site.add(declare(), model)
    with pytest.raises(InstallationError, match="there is no"):
        site.add(declare(), model / "nowhere")


def test_removal_deletes_what_was_installed_and_what_was_begun(declare, site, folder, server, downloader):
    slot = declare(url=server.url(), pin=pinned(RIGHT))
    with pytest.raises(InstallationError, match="nothing is installed"):
        site.remove(slot)
    site.fetch(slot, downloader)
    (folder / "toy.pth.part").write_bytes(b"begun")
    assert site.remove(slot) == folder / "toy.pth"
    assert visible(folder) == ["installed.json"]


def test_removal_leaves_an_unrecorded_file_of_an_operator_alone(declare, site, folder):
    folder.mkdir(parents=True)
    (folder / "toy.pth").write_bytes(RIGHT)
    with pytest.raises(InstallationError, match="nothing is installed"):
        site.remove(declare())
    assert (folder / "toy.pth").exists()


def test_two_commands_at_once_do_not_meet(declare, site, folder, own):
    folder.mkdir(parents=True)
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InstallationError, match="another command works on"):
            site.add(declare(), own)
    site.add(declare(), own)


def test_a_folder_that_cannot_be_written_is_said_in_words(declare, tmp_path, own):
    (tmp_path / "file").touch()
    with pytest.raises(InstallationError, match="cannot be written"):
        Installation(tmp_path / "file" / "weights").add(declare(), own)


def test_a_full_disk_is_seen_before_anything_is_copied(declare, site, folder, own, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 10))
    with pytest.raises(InstallationError, match="has no room"):
        site.add(declare(), own)
    assert visible(folder) == []


def test_unreadable_records_are_neither_overwritten_nor_ignored(declare, site, folder, server, downloader, own):
    folder.mkdir(parents=True)
    (folder / "installed.json").write_text("{broken")
    for act in (
        lambda: site.add(declare(), own),
        lambda: site.remove(declare()),
        lambda: site.fetch(declare(url=server.url()), downloader, accept_unpinned=True),
    ):
        with pytest.raises(InstallationError, match="Restore it from a backup"):
            act()
    assert (folder / "installed.json").read_text() == "{broken"
    assert server.requests == []


@pytest.mark.parametrize("dies_at", ["sync_folder", "write_durably"])
def test_a_death_between_two_steps_leaves_what_was_installed_before(declare, site, folder, own, monkeypatch, dies_at):
    slot = declare()
    first = site.add(slot, own)
    own.write_bytes(OTHER)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(installation, dies_at, die)
        with pytest.raises(KeyboardInterrupt):
            site.add(slot, own)
    assert Shelf(folder).find("toy").sha256 == first.sha256
    assert site.add(slot, own).sha256 == sha256(OTHER)
