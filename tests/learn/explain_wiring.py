"""Phantoms -> recipe -> slots -> `opacity-explain` on phantoms it has not seen, judged by `evaluation`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.judging import Masks, Settings, judge
from evaluation.outputs import DEFAULTS, read_out
from evaluation.rows import Row, State
from evaluation.summary import Summary, summarise
from evaluation.truth.known import Truth
from inference import radiograph, registry, resident
from inference.findings import Findings
from inference.networks import explained
from inference.networks.encoders import Backbone
from inference.networks.lung_unet import LungUNet
from inference.opacity_explain import views
from inference.opacity_explain.decisions import SIDES
from tests.learn import evidence, shelves
from tests.learn.explain_phantoms import TURNED, Known, make, write_rsna
from training.images.labelled import LabelledImage
from training.loop import report
from training.opacity_explain import recipe
from training.opacity_explain.numbers import Kind, parts

PIPELINE = "opacity-explain"
NARROW = recipe.Widths(
    encoders={Backbone.B4: "test_efficientnet", Backbone.CONVNEXT: "test_convnext"},
    lungs="test_efficientnet",
    lungs_decoder=(32, 32, 16, 16, 8),
)
_FOLDS = 6
SETTINGS = Settings(outputs=DEFAULTS[PIPELINE], pictures=0)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is learnt, from how many, at which size, and asked of how many.

    Attributes
    ----------
    seen, drawn, unseen : int
        Images to learn from; those of them whose lungs are drawn; images to judge by.
    epochs : Mapping[Kind, int]
        Of each kind of network.
    whole, lung : tuple of 2 int
        Rows and columns of what networks look at.
    changed : Mapping[str, Any]
        What differs from the source's table, of all parts.
    threshold : float
        Of the classifiers, in the pipeline.
    """

    seen: int
    drawn: int
    unseen: int
    epochs: Mapping[Kind, int]
    whole: tuple[int, int]
    lung: tuple[int, int]
    changed: Mapping[str, Any]
    threshold: float


_RATES = {Kind.LUNGS: 5e-3, Kind.CLASSIFIER: 3e-3, Kind.REGRESSOR: 4e-3, Kind.MAP: 5e-3}
"""Narrow networks that begin with random values learn by larger steps."""


@contextmanager
def narrowed(size: Size) -> Iterator[None]:
    """Have recipe and pipeline look at smaller views by narrower networks, on one thread."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "WHOLE", size.whole)
        patch.setattr(views, "LUNG", size.lung)
        patch.setattr(explained, "ARCHITECTURES", NARROW.encoders)
        patch.setattr(explained, "LungUNet", partial(LungUNet, NARROW.lungs, NARROW.lungs_decoder))
        patch.setattr(LabelledImage, "read", cache(LabelledImage.read))  # else half of the time goes into reading
        if not evidence.FULL:
            patch.setattr(report, "report", lambda *_: "")  # a tenth of the time goes into plots, which others test
        torch.set_num_threads(1)
        resident.release_all()
        yield
        resident.release_all()
        torch.set_num_threads(threads)


def train(folder: Path, size: Size) -> tuple[Path, dict[str, Any]]:
    """Train all parts and install them; return the weights folder, and the cards."""
    data, weights = folder / "data", folder / "weights"
    write_rsna(data, range(1, size.seen + 1), drawn=size.drawn)
    sources = recipe.Sources(data=data, out=folder / "out", weights=weights, is_imagenet=False)
    cards = {}
    for part in parts():
        changed = {"epochs": size.epochs[part.kind], "learning_rate": _RATES[part.kind], **size.changed}
        how = recipe.How(changed=changed, common={"folds": _FOLDS}, widths=NARROW)
        (cards[part.slot],) = recipe.make(sources, [part], how)
        shelves.install(part.slot, folder / "out" / f"{part.slot}.safetensors", weights)
    return weights, cards


def unseen(folder: Path, count: int) -> list[Known]:
    """Make phantoms that no network has seen, none of them upright."""
    folder.mkdir()
    return [make(folder / f"u{number}.dcm", 1000 + number, TURNED[number % len(TURNED)]) for number in range(count)]


def judged(known: Sequence[Known], weights: Path, *, threshold: float) -> Summary:
    """Run the pipeline, and judge it: label, place, and how far opacity extends in both lungs."""
    pipeline = registry.load(PIPELINE, weights=weights, settings={"threshold": threshold})
    rows = []
    for number, one in enumerate(known):
        source = radiograph.load(one.path)
        rows += _rows(one, pipeline(source, "cpu"), source, number)
    return summarise(rows, SETTINGS)


def _rows(one: Known, findings: Findings, source: Any, number: int) -> Iterator[Row]:
    prediction = read_out(findings, source, SETTINGS.outputs)
    truth = one.stored(one.truth[0] | one.truth[1])[np.newaxis]
    name = SETTINGS.outputs.joined
    masks = Masks(truth={name: truth}, found={name: np.logical_or.reduce(list(prediction.masks.values()))})
    row = Row(path=one.path.name, uid=one.path.stem, state=State.JUDGED, patient=number)
    yield judge(row, Truth(label=int(bool(one.boxes))), prediction, masks, SETTINGS)
    said = {measurement.concept.meaning: measurement.value / 100 for measurement in findings.measurements}
    for side, extent in zip(SIDES, one.extents, strict=True):
        found = said.get(f"Opacity extent, {side} lung")
        if found is not None:
            yield replace(row, uid=f"{row.uid} {side}", amount=extent, found_amount=found)
