"""A model card as a page for people: Markdown, for docs/pipelines and for the terminal."""

from collections.abc import Iterable, Iterator

from inference.card import (
    CTInput,
    KernelPreference,
    ModelCard,
    Quality,
    Setting,
    SettingValue,
    TrainingData,
    XRayInput,
)
from inference.weights.manifest import SLOTS, Slot
from inference.wording import counted

END = "<!-- generated from the model card up to here: scripts/pipeline_pages.py -->"
"""On a page of docs/pipelines, what lies below is written by hand."""


def page(card: ModelCard) -> str:
    """Return the whole card."""
    parts = [
        f"# {card.name}\n\n{card.title}. Version {card.version}. **Research use only. Not a medical device.**",
        f"{card.purpose}\n\n**For**: {card.intended_users}\n\n**Not for**\n\n{_bullets(card.not_for)}",
        f"## Reads\n\n{_bullets(_input(card))}",
        f"## Says\n\n{card.output}",
        f"## Settings\n\n{_table(('setting', 'value'), card.parameters.items())}" if card.parameters else "",
        f"## What a site may choose\n\n{_choices(card)}" if card.settings else "",
        f"## Training\n\n{card.training}{_training_data(card.training_data)}",
        f"## Quality\n\n{card.assessment}{_quality(card.quality)}",
        f"## Limits\n\n{_bullets(card.limits)}",
        f"## Weights and licence\n\nCode: {card.licence}. {_weights(card)}",
        f"## References\n\n{_bullets(card.references)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def modality(card: ModelCard) -> str:
    """Return what a pipeline reads, in a word or two."""
    return "X-ray" if isinstance(card.input, XRayInput) else "CT"


def _input(card: ModelCard) -> Iterator[str]:
    if isinstance(card.input, CTInput):
        low, high = card.input.thickness_mm
        yield f"Chest CT, one axial stack: slices of {low:g} to {high:g} mm"
        yield f"At least {card.input.min_coverage_mm:g} mm along the body"
        if card.input.kernel is not KernelPreference.ANY:
            yield f"Of several stacks that fit, one of a {card.input.kernel.value} kernel is preferred"
    else:
        rows, columns = card.input.min_size
        views = " or ".join(card.input.view_positions)
        yield f"Chest X-ray, one frontal image ({views}; without a view, as it judges itself)"
        yield f"At least {rows} x {columns} pixels"
    yield f"Beside pixels and geometry: {', '.join(card.input.header_keywords)}"


def _choices(card: ModelCard) -> str:
    rows = [(f"`{name}`", _given(s.default), s.meaning, _possible(s)) for name, s in card.settings.items()]
    table = _table(("setting", "default", "meaning", "may be"), rows)
    return f"In `[pipelines.{card.name}]` of config.toml.\n\n{table}"


def _given(value: SettingValue) -> str:
    return ", ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else str(value)


def _possible(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(setting.choices)
    several = f"{len(setting.default)} numbers " if isinstance(setting.default, tuple) else ""
    return f"{several}{setting.low:g} to {setting.high:g}"


def _training_data(data: tuple[TrainingData, ...]) -> str:
    if not data:
        return ""
    return "\n\n" + _bullets(f"{_extent(d)}: {d.name}. {d.attribution or f'{d.source}, {d.licence}'}" for d in data)


def _extent(data: TrainingData) -> str:
    images = "images" if data.images is None else counted(data.images, "image")
    return images if data.patients is None else f"{images} of {counted(data.patients, 'patient')}"


def _quality(numbers: tuple[Quality, ...]) -> str:
    if not numbers:
        return ""
    sources = list(dict.fromkeys(_source(number) for number in numbers))
    if len(sources) == 1:
        table = _table(("measure", "value", "on"), [(n.measure, n.value, n.on) for n in numbers])
        return f"\n\n{table}\n\nSource of every number: {sources[0]}."
    rows = [(n.measure, n.value, n.on, _source(n)) for n in numbers]
    return "\n\n" + _table(("measure", "value", "on", "source"), rows)


def _source(number: Quality) -> str:
    return f"claimed by {number.source}" if number.is_claimed else number.source


def _weights(card: ModelCard) -> str:
    if not card.weights:
        return "It has no weights."
    return "Weights:\n\n" + _bullets(_slot(SLOTS[name], card) for name in card.weights)


def _slot(slot: Slot, card: ModelCard) -> str:
    needed = "always needed" if card.name in slot.required_by else "optional"
    pin = f"{slot.pin.kind} `{slot.pin.value}`" if slot.pin else "held to the hash that it was installed with"
    install = "comes with the program" if slot.shipped else f"`{slot.command}`"
    return f"{slot.title}, slot `{slot.name}`, {needed}: `{slot.file}`, {pin}; {slot.licence}; {install}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
