"""What came of one image: a row of evaluation.json, and what an unfinished evaluation keeps of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from evaluation.boxes import Box
from evaluation.overlap import Overlap


class State(StrEnum):
    """Whether an image was judged, or why not."""

    JUDGED = "judged"
    REFUSED = "refused"
    FAILED = "failed"
    NO_TRUTH = "no-truth"
    NOT_RUN = "not-run"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One X-ray image or CT stack to be judged.

    Attributes
    ----------
    paths : tuple of Path
        Its files.
    uid : str
        SOP Instance UID of an image, Series Instance UID of a stack.
    names : tuple of str
        What a truth may call it, `uid` first.
    patient : int
        The same for images of one patient; no identifier.
    """

    paths: tuple[Path, ...]
    uid: str
    names: tuple[str, ...]
    patient: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One image.

    Attributes
    ----------
    path : str
        Of its file; of a stack, of its folder.
    code, reason : str
        Why it was not judged, as a name that stays and as a sentence.
    patient : int or None
        As in `Image`.
    key : str
        Changes with the image and with its truth.
    label, score, level, found_level, amount, found_amount : number or None
        Truth and what the pipeline says.
    threshold : float or None
        That the pipeline named for this image.
    regions : Mapping[str, Overlap]
        By label.
    map_loss : float or None
        Weighted log loss of the map.
    boxes, found_boxes : tuple of Box, or None
        Truth and what the pipeline says.
    experts : Mapping[str, float]
        Weighted log loss of each expert's own map.
    absent : tuple of str
        Outputs that were asked for and did not come.
    picture : str
        File of the kept picture; empty where there is none.
    """

    path: str
    state: State
    uid: str = ""
    code: str = ""
    reason: str = ""
    patient: int | None = None
    key: str = ""
    seconds: float | None = None
    label: int | None = None
    score: float | None = None
    threshold: float | None = None
    level: int | None = None
    found_level: int | None = None
    amount: float | None = None
    found_amount: float | None = None
    regions: Mapping[str, Overlap] = field(default_factory=dict)
    map_loss: float | None = None
    boxes: tuple[Box, ...] | None = None
    found_boxes: tuple[Box, ...] | None = None
    experts: Mapping[str, float] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    picture: str = ""

    @property
    def badness(self) -> float:
        """How wrong the pipeline was: by masks, else by the map, else by the score."""
        dice = [overlap.dice for overlap in self.regions.values() if overlap.dice is not None]
        if dice:
            return 1 - sum(dice) / len(dice)
        if any(overlap.is_false_alarm for overlap in self.regions.values()):
            return 1.0
        if self.map_loss is not None:
            return self.map_loss
        return abs(self.label - self.score) if self.label is not None and self.score is not None else 0.0

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """Make it of plain values, as JSON gives them back."""
        row = cls(**values)
        return replace(
            row,
            state=State(row.state),
            regions={name: Overlap(**counts) for name, counts in values["regions"].items()},
            boxes=_boxes(values["boxes"]),
            found_boxes=_boxes(values["found_boxes"]),
            absent=tuple(values["absent"]),
        )


def _boxes(values: list[dict[str, Any]] | None) -> tuple[Box, ...] | None:
    return None if values is None else tuple(Box(**value) for value in values)
