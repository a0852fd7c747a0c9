"""The table of the source: how each part is trained, unless a person says otherwise.

Where the table gives a range of epochs, the longest is taken. "Weight decay per epoch, 50 %" (75 %) cannot be of the
weights: halved twenty times, nothing would be left of them. It is read as the decay of the learning rate: that falls
along a cosine within each epoch, and begins the next one at this share of where it began the last, as cosine
annealing with restarts and a decay is usually given. That is this project's reading; `--decay` takes another. AdamW's
own weight decay is its default. Base weights of the classifiers and regressors were the winners of the mRALE
challenge, which are not public: ImageNet takes their place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from inference.networks.encoders import Backbone
from inference.opacity_explain.decisions import SIDES, Side


class Kind(StrEnum):
    """What a network learns."""

    LUNGS = "lungs"
    CLASSIFIER = "classifier"
    REGRESSOR = "regressor"
    MAP = "map"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One network of the cascade.

    Attributes
    ----------
    kind : Kind
        What it learns.
    side : Side or None
        Of which lung; None looks at the whole image.
    backbone : Backbone or None
        None of the lungs, which have one alone.
    """

    kind: Kind
    side: Side | None = None
    backbone: Backbone | None = None

    @property
    def name(self) -> str:
        """As a person asks for it: of both backbones the same."""
        return "-".join((self.kind, *((self.side,) if self.side else ())))

    @property
    def slot(self) -> str:
        """Whose weights it makes."""
        return "-".join(("opacity-explain", self.name, *((self.backbone,) if self.backbone else ())))

    @property
    def encoder(self) -> "Part":
        """The part whose encoder a map is decoded from."""
        kind = Kind.REGRESSOR if self.side else Kind.CLASSIFIER
        return Part(kind=kind, side=self.side, backbone=self.backbone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """A column of the table.

    Attributes
    ----------
    learning_rate : float
        Of AdamW, to begin with.
    is_annealed : bool
        Whether it falls along a cosine within each epoch.
    decay : float
        What the rate of an epoch's beginning is multiplied by for the next.
    epochs, batch : int
        Passes over all images; images a step.
    degrees : float
        Images are turned by up to so much.
    weight_decay : float
        Of AdamW.
    is_varied_more : bool
        Whether images are changed further, see `training.opacity_explain.views.varied_more`: the source's "retraining
        on the whole lung mapping weights using more data augmentation".
    """

    learning_rate: float
    is_annealed: bool = True
    decay: float = 1.0
    epochs: int
    batch: int
    degrees: float = 15.0
    weight_decay: float = 0.01
    is_varied_more: bool = False


_TABLE = {
    Kind.LUNGS: Numbers(learning_rate=1e-4, is_annealed=False, epochs=100, batch=32),
    Kind.CLASSIFIER: Numbers(learning_rate=1e-5, decay=0.5, epochs=20, batch=32),
    Kind.REGRESSOR: Numbers(learning_rate=5e-5, decay=0.75, epochs=25, batch=50),
    Kind.MAP: Numbers(learning_rate=1e-4, decay=0.75, epochs=30, batch=32),
}


def published(part: Part) -> Numbers:
    """Return how the source trained a part."""
    numbers = _TABLE[part.kind]
    return replace(numbers, is_varied_more=part.kind is Kind.MAP and part.side is None)


def parts() -> Iterator[Part]:
    """Yield all parts, each after those that it needs."""
    yield Part(kind=Kind.LUNGS)
    for kind in (Kind.CLASSIFIER, Kind.REGRESSOR, Kind.MAP):
        for side in SIDES if kind is Kind.REGRESSOR else (None, *SIDES) if kind is Kind.MAP else (None,):
            for backbone in Backbone:
                yield Part(kind=kind, side=side, backbone=backbone)
