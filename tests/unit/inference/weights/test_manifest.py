import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import ValidationError

from inference.registry import CARDS
from inference.weights import manifest, pins
from inference.weights.manifest import Form, Slot
from inference.weights.pins import PinKind
from node.cli.training import train_app

SLOTS = list(manifest.SLOTS.values())
PUBLISHED = [slot for slot in SLOTS if slot.url]
SHIPPED = [slot for slot in SLOTS if slot.shipped]
DOCUMENT = Path(__file__).parents[4] / "docs" / "weights.md"


def test_every_network_of_the_systems_to_come_has_its_slot():
    by_pipeline = {name for slot in SLOTS for name in (*slot.required_by, *slot.optional_for, *slot.training_start_for)}
    assert by_pipeline == {
        "lung-densitometry",
        "lung-fields",
        "balaitous",
        "ct-severity",
        "opacity-ensemble",
        "opacity-explain",
        "opacity-boxes",
    }


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_a_card_names_the_slots_that_name_its_pipeline(card):
    assert set(card.weights) == {s.name for s in SLOTS if card.name in (*s.required_by, *s.optional_for)}


def test_a_slot_has_a_recipe_where_nobody_publishes_its_weights_and_the_program_has_that_recipe():
    assert all(bool(slot.recipe) is not (slot.shipped or slot.url is not None) for slot in SLOTS)
    assert {slot.recipe for slot in SLOTS if slot.recipe} <= {command.name for command in train_app.registered_commands}


@pytest.mark.parametrize("slot", PUBLISHED, ids=lambda slot: slot.name)
def test_a_published_file_comes_over_tls_under_its_own_name(slot):
    assert slot.url.startswith("https://")
    assert slot.url.rpartition("/")[2] == slot.file


@pytest.mark.parametrize("slot", PUBLISHED, ids=lambda slot: slot.name)
def test_a_hash_in_a_files_name_is_a_prefix_of_its_pin(slot):
    hashed = re.search(r"-([0-9a-f]{8})\.pth$", slot.file)
    if hashed:
        assert slot.pin.value.startswith(hashed[1])


@pytest.mark.parametrize("slot", SHIPPED, ids=lambda slot: slot.name)
def test_a_shipped_file_lies_in_the_package_and_hashes_to_its_pin(slot):
    assert slot.pin.fits(pins.of(manifest.SHIPPED / slot.file))
    assert (manifest.SHIPPED / slot.file).stat().st_size == slot.size


def test_every_shipped_file_has_a_slot():
    weights = {path.name for path in manifest.SHIPPED.iterdir() if path.suffix not in (".json", ".py")}
    assert weights - {"__pycache__"} == {slot.file for slot in SHIPPED}


def test_only_the_files_of_zenodo_are_without_a_pin():
    assert [slot.name for slot in PUBLISHED if slot.pin is None] == ["balaitous-full", "balaitous-lung"]


def test_every_kind_of_pin_and_form_is_in_use():
    assert {slot.pin.kind for slot in PUBLISHED if slot.pin} == set(PinKind)
    assert {slot.form for slot in SLOTS} == set(Form)


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_every_slot_says_licence_network_and_the_command_that_fills_it(slot):
    assert slot.licence
    assert slot.network
    command = f"opacity-node models {'fetch' if slot.url else 'add'} {slot.name}"
    assert slot.command.startswith("install opacity-node anew" if slot.shipped else command)
    assert ("--accept-unpinned" in slot.command) is (slot.url is not None and slot.pin is None)


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_the_licence_table_of_the_documentation_has_every_slot_as_the_manifest_says(slot):
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in DOCUMENT.read_text().splitlines() if "|" in line]
    row = next(row for row in rows if row[0] == f"`{slot.name}`")
    size = (
        f"{slot.size:,}" if slot.size else f"about {slot.about_mib} MiB" if slot.about_mib else "?" if slot.url else "-"
    )
    pin = (
        f"{slot.pin.kind}" + (f" ({slot.pin.origin})" if slot.pin.origin != "publisher" else "") if slot.pin else "none"
    )
    uses = [*slot.required_by, *(f"{p} (optional)" for p in slot.optional_for)]
    uses += [f"training {p}" for p in slot.training_start_for]
    pin = f"{pin}, shipped" if slot.shipped else pin if slot.url else "at `add`"
    assert row[1:] == [", ".join(uses) or "-", size, pin, slot.licence]


def torchxrayvision(file):
    """Read the library's source: to import it takes seconds."""
    return (Path(find_spec("torchxrayvision").origin).parent / file).read_text()


def test_names_and_operating_points_of_the_classifier_are_torchxrayvisions_own():
    table = torchxrayvision("models.py").split("model_urls['all'] = ")[1].split("\nmodel_urls")[0]
    theirs, slot = ast.literal_eval(table), manifest.SLOTS["xrv-densenet121-all"]
    assert slot.url == theirs["weights_url"]
    assert list(slot.outputs) == theirs["labels"]
    assert [slot.thresholds[name] for name in slot.outputs] == theirs["op_threshs"]


def test_names_of_the_anatomy_network_are_torchxrayvisions_own():
    source = torchxrayvision("baseline_models/chestx_det/__init__.py")
    targets = ast.literal_eval(source.split("targets: List[str] = ")[1].split("]")[0] + "]")
    assert list(manifest.SLOTS["xrv-pspnet"].outputs) == targets
    assert manifest.SLOTS["xrv-pspnet"].url in source


def test_addresses_of_the_lung_masks_are_lungmasks_own():
    source = (Path(find_spec("lungmask").origin).parent / "mask.py").read_text()
    for name in ("lungmask-r231", "lungmask-ltrclobes"):
        assert manifest.SLOTS[name].url in source


GOOD = {"name": "toy", "title": "A toy", "file": "toy.pth", "network": "toy", "licence": "MIT"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "Toy 1"}, "pattern"),
        ({"file": "../toy.pth"}, "pattern"),
        ({"file": ".hidden"}, "pattern"),
        ({"url": "ftp://example.org/toy.pth"}, "pattern"),
        ({"pin": {"kind": "sha256", "value": "ab"}, "url": "https://example.org/toy.pth"}, "64 to 64 digits"),
        ({"pin": {"kind": "sha256", "value": "AB" * 32}, "url": "https://example.org/toy.pth"}, "pattern"),
        ({"pin": {"kind": "md5", "value": "ab" * 16}, "url": "https://example.org/toy.pth"}, "sha256"),
        ({"pin": {"kind": "sha256-prefix", "value": "abc"}, "url": "https://example.org/toy.pth"}, "8 to 63"),
        ({"pin": {"kind": "sha256", "value": "ab" * 32}}, "give its url"),
        ({"shipped": True}, "a pin and no url"),
        ({"shipped": True, "pin": {"kind": "sha256", "value": "ab" * 32}, "url": "https://a.org/toy.pth"}, "no url"),
        ({"form": "nnunet-folder", "url": "https://example.org/toy"}, "no url"),
        ({"outputs": ["a", "a"]}, "same name"),
        ({"outputs": ["a"], "thresholds": {"b": 0.5}}, "thresholds of b"),
        ({"size": 0}, "greater than 0"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_slot_that_contradicts_itself_is_refused(wrong, why):
    Slot(**GOOD)
    with pytest.raises(ValidationError, match=why):
        Slot(**GOOD | wrong)


def test_two_slots_of_one_name_or_file_are_refused(tmp_path):
    path = tmp_path / "weights.toml"
    text = '[[slots]]\nname = "{}"\ntitle = "t"\nfile = "{}"\nnetwork = "n"\nlicence = "MIT"\n'
    path.write_text(text.format("a", "a.pth") + text.format("b", "a.pth"))
    with pytest.raises(ValueError, match=r"the file a\.pth"):
        manifest.read(path)
    path.write_text(text.format("a", "a.pth") + text.format("a", "b.pth"))
    with pytest.raises(ValueError, match="the name a"):
        manifest.read(path)
