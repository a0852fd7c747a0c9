"""Weights of `opacity-explain`: one part, or all of them, each after those that it needs.

``images -> readable -> lungs (drawn, else outlined) -> tasks -> the loop``. `opacity-node train opacity-explain` ends
in a file for each slot, with its card, log and report; docs/training.md tells the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from inference.networks.encoders import ARCHITECTURES, Backbone
from inference.networks.lung_unet import LungUNet
from inference.opacity_explain.decisions import SIDES
from inference.weights import Shelf
from inference.weights.loading import load_network, read_state
from training.errors import TrainingError
from training.imagenet import convnext_classifier, efficientnet_classifier
from training.images import kinds
from training.images.labelled import Images, LabelledImage
from training.images.readable import readable
from training.loop.making import make as make_task
from training.loop.plan import Plan
from training.loop.task import Start
from training.opacity_explain.lungs import Segmenter, drawn, hash_of, outlined
from training.opacity_explain.numbers import Kind, Numbers, Part, published
from training.opacity_explain.tasks import TASKS, LungsTask, Made
from training.opacity_explain.views import Xray

Renamed = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
_IMAGENET: Mapping[Backbone, tuple[str, Renamed]] = {
    Backbone.B4: ("efficientnet-b4-imagenet", efficientnet_classifier),
    Backbone.CONVNEXT: ("convnext-tiny-imagenet", convnext_classifier),
}
_POSITIVE_ONLY = "Learnt from images with opacity alone: the cascade asks it of none that its classifiers call clear."
_OUR_BASE = "The source began with winners of the mRALE challenge, which are not public."
_OUR_DECAY = "That the source's weight decay per epoch is one of the learning rate is this project's reading."


@dataclass(frozen=True, kw_only=True, slots=True)
class Widths:
    """How large the networks are: as they are used, but for tests.

    Attributes
    ----------
    encoders : Mapping[Backbone, str]
        timm's names.
    lungs : str
        timm's name of the segmenter's encoder.
    lungs_decoder : tuple of int, or None
        Its decoder's channels; None as it is used.
    """

    encoders: Mapping[Backbone, str] = field(default_factory=lambda: dict(ARCHITECTURES))
    lungs: str = ARCHITECTURES[Backbone.B4]
    lungs_decoder: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What a training reads, and where it may write.

    Attributes
    ----------
    data, out : Path
        Folders of the images, and of the files to write.
    weights : Path
        Weights folder, for ImageNet and for parts that were not made in `out`.
    lungs : Path or None
        Folder with right-lung and left-lung; None looks for them in `data`.
    is_imagenet : bool
        Whether classifiers and regressors begin with ImageNet.
    """

    data: Path
    out: Path
    weights: Path
    lungs: Path | None = None
    is_imagenet: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """What a person chose for all parts that are made.

    Attributes
    ----------
    changed : Mapping[str, Any]
        Fields of `Numbers` that differ from the table.
    common : Mapping[str, Any]
        Fields of `Plan` but epochs and batch.
    widths : Widths
        Of the networks.
    """

    changed: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    widths: Widths = field(default_factory=Widths)


def make(sources: Sources, parts: Sequence[Part], how: How) -> list[dict[str, Any]]:
    """Train parts; return what their cards say.

    Raises
    ------
    TrainingError
        If images, or parts that others need, are not there.
    inference.weights.WeightsRefusedError
        If weights that are needed are not installed.
    """
    images = readable(kinds.read(sources.data), sources.out / "readable.json", workers=how.common.get("workers", 0))
    recipe = _Recipe(sources, images, how)
    return [recipe.make(part) for part in parts]


class _Recipe:
    """One call: images, and what was found about their lungs."""

    def __init__(self, sources: Sources, images: Images, how: How) -> None:
        self._sources = sources
        self._images = images
        self._how = how
        self._shelf = Shelf(sources.weights)
        self._device = str(how.common.get("device", "cpu"))
        self._opaque: list[Xray] | None = None

    def make(self, part: Part) -> dict[str, Any]:
        numbers = replace(published(part), **self._how.changed)
        plan = Plan(epochs=numbers.epochs, batch=numbers.batch, **self._how.common)
        examples = self._examples(part)
        if not examples:
            raise TrainingError(f"{part.slot} has no image to learn from: {_WANTED[part.kind]}")
        widths = self._how.widths
        made = Made(
            numbers=numbers,
            architecture=widths.encoders[part.backbone] if part.backbone else widths.lungs,
            start=self._start(part),
            place=self._sources.data,
            data=self._images.told(),
            limits=_limits(part, numbers),
        )
        if part.kind is Kind.LUNGS:
            return make_task(LungsTask(part, made, examples, widths.lungs_decoder), plan, self._sources.out)
        return make_task(TASKS[part.kind](part, made, examples), plan, self._sources.out)

    def _examples(self, part: Part) -> list[Xray]:
        if part.kind is Kind.LUNGS:
            return self._drawn(self._images.usable)
        if part.kind is Kind.CLASSIFIER:
            return [Xray(image=image) for image in self._images.usable]
        if self._opaque is None:
            self._opaque = self._with_lungs([image for image in self._images.usable if image.is_opaque])
        if part.side is None:
            return self._opaque
        place = SIDES.index(part.side)
        return [one for one in self._opaque if _is_there(one.lungs[place])]

    def _drawn(self, images: Sequence[LabelledImage]) -> list[Xray]:
        return drawn(images, self._sources.lungs or self._sources.data)

    def _with_lungs(self, images: Sequence[LabelledImage]) -> list[Xray]:
        by_hand = self._drawn(images)
        has = {one.name for one in by_hand}
        others = [image for image in images if image.name not in has]
        found = outlined(others, self._segmenter(), self._sources.out / "lungs") if others else []
        return sorted([*by_hand, *found], key=lambda one: one.name)

    def _segmenter(self) -> Segmenter:
        part, widths = Part(kind=Kind.LUNGS), self._how.widths
        made = self._sources.out / f"{part.slot}.safetensors"
        network = LungUNet(widths.lungs, widths.lungs_decoder) if widths.lungs_decoder else LungUNet(widths.lungs)
        if made.is_file():
            network.load_state_dict(load_file(made))
            sha256 = hash_of(made)
        else:
            verified = self._shelf.require(part.slot)[part.slot]
            network, sha256 = load_network(verified, lambda: network), verified.sha256
        network.eval().requires_grad_(requires_grad=False)
        return Segmenter(network=network.to(self._device), sha256=sha256, device=self._device)

    def _start(self, part: Part) -> Start:
        if part.kind is Kind.MAP:
            return self._frozen(part.encoder)
        if part.backbone is None or not self._sources.is_imagenet:
            return Start()
        slot, renamed = _IMAGENET[part.backbone]
        verified = self._shelf.require(slot)[slot]
        return Start(said=f"{slot}, sha256 {verified.sha256}", state=renamed(read_state(verified)))

    def _frozen(self, part: Part) -> Start:
        """Return the encoder of a classifier or regressor: of the one that was made here, else the installed one."""
        made = self._sources.out / f"{part.slot}.safetensors"
        if made.is_file():
            return Start(said=f"{part.slot}, sha256 {hash_of(made)}", state=load_file(made))
        verified = self._shelf.require(part.slot)[part.slot]
        return Start(said=f"{part.slot}, sha256 {verified.sha256}", state=read_state(verified))


_WANTED = {
    Kind.LUNGS: "draw both lungs on some, as docs/training.md says",
    Kind.CLASSIFIER: "the folder is empty",
    Kind.REGRESSOR: "no image shows both opacity and this lung",
    Kind.MAP: "no image shows both opacity and these lungs",
}


def _limits(part: Part, numbers: Numbers) -> tuple[str, ...]:
    said = []
    if part.kind in (Kind.REGRESSOR, Kind.MAP):
        said.append(_POSITIVE_ONLY)
    if part.kind in (Kind.CLASSIFIER, Kind.REGRESSOR):
        said.append(_OUR_BASE)
    if numbers.decay != 1.0:
        said.append(_OUR_DECAY)
    return tuple(said)


def _is_there(lung: Path) -> bool:
    from PIL import Image

    with Image.open(lung) as image:
        return bool(image.getbbox())
