"""The model card: what a pipeline is for, what it reads and says, and how far it can be trusted.

A card is light to import, so that rules, status pages and result writers can read it without loading a model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class KernelPreference(StrEnum):
    """Which reconstruction a CT pipeline measures best on."""

    SOFT = "soft"
    SHARP = "sharp"
    ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class CTInput:
    """What a CT pipeline reads.

    Attributes
    ----------
    thickness_mm : tuple of 2 float
        Slice thickness that the pipeline was made for, lowest and highest, in mm.
    kernel : KernelPreference
        Of two stacks that fit otherwise, the one that runs.
    min_coverage_mm : float
        Least extent along the body, in mm.
    header_keywords : tuple of str
        Attributes beside geometry and pixels whose values change the result.
    """

    thickness_mm: tuple[float, float] = (0.3, 5.0)
    kernel: KernelPreference = KernelPreference.ANY
    min_coverage_mm: float = 150.0
    header_keywords: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class XRayInput:
    """What an X-ray pipeline reads: one frontal image of the chest.

    Attributes
    ----------
    view_positions : tuple of str
        View Position (0018,5101) of images that it reads; an image without one is judged by the pipeline.
    min_size : tuple of 2 int
        Least number of rows and columns.
    header_keywords : tuple of str
        Attributes beside geometry and pixels whose values change the result.
    """

    view_positions: tuple[str, ...] = ("PA", "AP")
    min_size: tuple[int, int] = (256, 256)
    header_keywords: tuple[str, ...] = (
        "PhotometricInterpretation",
        "ModalityLUTSequence",
        "VOILUTSequence",
        "VOILUTFunction",
        "WindowCenter",
        "WindowWidth",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "PatientOrientation",
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "PixelAspectRatio",
    )


SettingValue = str | float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Something that a site may choose, in ``[pipelines.NAME]`` of config.toml.

    Attributes
    ----------
    default : str, float or tuple of float
        What holds where the site says nothing; what it says must be of the same kind and length.
    meaning : str
        What it does, for people.
    choices : tuple of str
        Of a text, all that it may be.
    low, high : float
        Of numbers, the lowest and the highest.
    is_whole : bool
        Of a number, whether it must be a whole one.
    """

    default: SettingValue
    meaning: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    is_whole: bool = False

    def wrong(self, value: object) -> str:
        """Say why a value cannot be, with what can; nothing where it can."""
        if isinstance(self.default, str):
            return "" if value in self.choices else f"is one of {', '.join(self.choices)}"
        between = f"from {self.low:g} to {self.high:g}"
        if isinstance(self.default, tuple):
            count = len(self.default)
            fits = isinstance(value, list | tuple) and len(value) == count and all(map(self._is_number, value))
            return "" if fits else f"is a list of {count} numbers {between}"
        return "" if self._is_number(value) else f"is a {'whole ' if self.is_whole else ''}number {between}"

    def _is_number(self, value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        return not self.is_whole or value == round(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """Images that a network learnt from.

    Attributes
    ----------
    name : str
        What they are.
    images, patients : int or None
        How many; None where that is not known.
    licence, source : str
        Theirs; where they were had, or who says so.
    attribution : str
        The line that the licence asks for, as CC BY does; empty where it asks for none.
    """

    name: str
    images: int | None
    patients: int | None = None
    licence: str
    source: str
    attribution: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """One number about how good a pipeline is.

    Attributes
    ----------
    measure, value : str
        What was measured ("Dice, right lung"), and what came out, as it is to be read.
    on : str
        On which images, and whether the pipeline had seen them.
    source : str
        Where the number stands: a file of this repository, or a publication.
    is_claimed : bool
        Whether others say so, and nobody measured it here.
    """

    measure: str
    value: str
    on: str
    source: str
    is_claimed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What must be known of a pipeline before its numbers are read.

    Attributes
    ----------
    name, version : str
        As written into every result.
    title : str
        One line for people.
    purpose, output : str
        What it is for; what it says, in which units.
    intended_users : str
        Who may read its results.
    not_for : tuple of str
        What it must not be used for.
    input : CTInput or XRayInput
        What it reads.
    parameters : Mapping[str, str]
        What is fixed, and enters every result.
    settings : Mapping[str, Setting]
        What a site may choose; enters every result too.
    training : str
        How it came to its settings or weights; that it was not trained, where it was not.
    training_data : tuple of TrainingData
        What its networks learnt from, as far as they are trained here.
    assessment : str
        In one sentence, how well its quality is known.
    quality : tuple of Quality
        Every number about its quality, each with its source; numbers stand nowhere else.
    limits : tuple of str
        Where it must not be trusted.
    references : tuple of str
        Sources of method and thresholds.
    licence : str
        Of code and weights.
    weights : tuple of str
        Names of the weights it can use, as in `inference.weights`; empty where it needs none.
    challenge_map : bool
        Whether its map of opacity is the one that the MIDRC XAI challenge of 2024 asked for.
    at_once : int
        How many selections it can take together (`inference.registry.PipelineOfSeveral`), as is worth while on a GPU.
    """

    name: str
    version: str
    title: str
    purpose: str
    output: str
    intended_users: str = ""
    not_for: tuple[str, ...] = ()
    input: CTInput | XRayInput
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    training: str = ""
    training_data: tuple[TrainingData, ...] = ()
    assessment: str = ""
    quality: tuple[Quality, ...] = ()
    limits: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    weights: tuple[str, ...] = ()
    challenge_map: bool = False
    at_once: int = 1


NOT_FOR = (
    "Diagnosis, triage or treatment of a patient: research use only, not a medical device.",
    "Decisions about a person that nobody reviews, such as those of insurers or employers.",
)
"""What no pipeline of this project is for."""
RESEARCHERS = "Researchers and radiologists who check every result against the images."

_PROSE = ("title", "purpose", "output", "intended_users", "training", "assessment")
_MUST = (*_PROSE, "not_for", "limits", "references", "licence")
_QUALITY_IN_PROSE = re.compile(
    r"\b(dice|jaccard|iou|auc|auroc|accura\w+|sensitivity|specificity|precision|recall|correlat\w+)\b[^.;]*\d",
    re.IGNORECASE,
)


def lacks(card: ModelCard) -> list[str]:
    """Return what a card does not say and must, and which of its numbers have no source; nothing where it is whole."""
    said = [f"{name} is empty" for name in _MUST if not getattr(card, name)]
    for number in card.quality:
        said += [
            f"quality {number.measure!r}: no {part}" for part in ("value", "on", "source") if not getattr(number, part)
        ]
    for data in card.training_data:
        said += [f"training data {data.name!r}: no {part}" for part in ("licence", "source") if not getattr(data, part)]
        if data.licence.upper().startswith("CC BY") and not data.attribution:
            said.append(f"training data {data.name!r}: {data.licence} asks for an attribution")
    prose = [getattr(card, name) for name in _PROSE] + [*card.limits, *card.not_for]
    said += [f"a number without a source: {text!r}" for text in prose if _QUALITY_IN_PROSE.search(text)]
    return said


def wrong_settings(card: ModelCard, given: Mapping[str, object]) -> list[str]:
    """Return what cannot be among the settings that a site gives a pipeline, each with what can."""
    there_are = ", ".join(card.settings) or "none"
    return [
        f"{name} = {value!r}: {problem}"
        for name, value in given.items()
        if (problem := card.settings[name].wrong(value) if name in card.settings else f"there are: {there_are}")
    ]


def settled(card: ModelCard, given: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Return every setting of a pipeline: as given, else its default.

    Raises
    ------
    ValueError
        If a setting cannot be.
    """
    if problems := wrong_settings(card, given):
        raise ValueError(f"{card.name}: {'; '.join(problems)}")
    chosen = {name: given.get(name, setting.default) for name, setting in card.settings.items()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
