"""Rules: what they ask of a stack, what they found, and what is done with what fits. Pure; no rule holds code.

A condition bears the name of the attribute that it reads. All conditions of a rule must be met.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from node.fields import MATCHED_CHARACTERS, AETitles, Name, Pattern, Priority, Range, Seconds, Section, Texts
from node.header import InstanceHeader
from node.stacks import Stack

SOURCE = "source"
"""The destination that stands for whoever sent the images."""
_NO_CONTRAST = frozenset({"", "NONE", "NO", "N", "NATIVE", "WITHOUT", "W/O", "N/A"})

Modality = Literal["CT", "CR", "DX"]
MODALITIES: frozenset[str] = frozenset(get_args(Modality))


def _folded(value: Any) -> Any:  # noqa: ANN401 - whatever the file says
    """Let `"ct"` be `["CT"]`; what is no modality stays as it was written, for the error to show."""
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, list | tuple):
        return value
    return [m.upper() if isinstance(m, str) and m.upper() in MODALITIES else m for m in several]


Modalities = Annotated[tuple[Modality, ...], BeforeValidator(_folded), Field(min_length=1)]


class When(Section):
    """The conditions of a rule; None asks nothing."""

    modality: Modalities | None = None
    calling_ae_title: AETitles | None = None
    called_ae_title: AETitles | None = None
    study_description: Pattern | None = None
    series_description: Pattern | None = None
    body_part_examined: Texts | None = None
    image_type: Texts | None = None
    view_position: Texts | None = None
    presentation_intent_type: Texts | None = None
    slice_count: Range | None = None
    slice_thickness_mm: Range | None = None
    convolution_kernel: Pattern | None = None
    contrast: bool | None = None
    patient_age_years: Range | None = None
    patient_sex: Texts | None = None


class Rule(Section):
    """What runs on which stacks, and where its results go."""

    name: Name
    modality: Modalities | None = None
    when: When = When()
    pipelines: Annotated[tuple[str, ...], Field(min_length=1)]
    destinations: tuple[str, ...] = ()
    priority: Priority = 0
    quiet_s: Seconds | None = None
    stacks: Literal["best", "all"] = "best"
    notices: bool = False

    @property
    def conditions(self) -> When:
        """All conditions, `modality` of the rule among them."""
        return self.when.model_copy(update={"modality": self.modality}) if self.modality else self.when


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """How an instance came."""

    calling_ae_title: str
    called_ae_title: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One condition, what it wants, what it found in a stack, and whether that is it."""

    condition: str
    wanted: str
    found: str
    met: bool

    def __str__(self) -> str:
        return f"{self.condition} is {self.found}, wanted {self.wanted}"


Found = str | float | bool | tuple[str, ...] | None

_FROM_STACK: Mapping[str, Callable[[Stack], Found]] = MappingProxyType(
    {
        "slice_count": lambda stack: sum(instance.number_of_frames or 1 for instance in stack.instances),
        "slice_thickness_mm": lambda stack: stack.first.slice_thickness,
        "contrast": lambda stack: stack.first.contrast_bolus_agent.strip().upper() not in _NO_CONTRAST,
    }
)
"""Conditions that are not an attribute as it stands."""


def asks(when: When) -> list[str]:
    """Return each condition as a person would read it."""
    return [
        f"{name} {_wish(name, wanted)}" for name in When.model_fields if (wanted := getattr(when, name)) is not None
    ]


def judge(when: When, stack: Stack, origin: Origin) -> list[Verdict]:
    """Hold a stack against conditions.

    Parameters
    ----------
    when : When
        The conditions.
    stack : Stack
        Its first instance stands for all.
    origin : Origin
        Of the newest instance of the stack.

    Returns
    -------
    list of Verdict
        One for each condition that asks something.
    """
    return [
        _verdict(name, wanted, _found(name, stack, origin))
        for name in When.model_fields
        if (wanted := getattr(when, name)) is not None
    ]


def _found(name: str, stack: Stack, origin: Origin) -> Found:
    if name in _FROM_STACK:
        return _FROM_STACK[name](stack)
    source: InstanceHeader | Origin = origin if hasattr(origin, name) else stack.first
    found: Found = getattr(source, name)
    return found


def _verdict(name: str, wanted: object, found: Found) -> Verdict:
    return Verdict(condition=name, wanted=_wish(name, wanted), found=_shown(found), met=_met(name, wanted, found))


def _met(name: str, wanted: object, found: Found) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(found, str) and wanted.search(found[:MATCHED_CHARACTERS]) is not None
    if isinstance(wanted, Range):
        return isinstance(found, int | float) and wanted.holds(found)
    if isinstance(found, tuple) and isinstance(wanted, tuple):
        return {value.upper() for value in wanted} <= {value.upper() for value in found}
    if isinstance(found, str) and isinstance(wanted, tuple):
        exact = name.endswith("ae_title")  # PS3.5 6.2: upper and lower case differ in AE titles alone
        return found in wanted if exact else found.upper() in {value.upper() for value in wanted}
    return wanted == found


def _wish(name: str, wanted: object) -> str:
    if isinstance(wanted, re.Pattern):
        return f"/{wanted.pattern}/"
    if isinstance(wanted, bool):
        return _shown(wanted)
    if isinstance(wanted, tuple):
        return (" and " if name == "image_type" else " or ").join(value or "absent" for value in wanted)
    return str(wanted)


def _shown(found: Found) -> str:
    if isinstance(found, bool):
        return "given" if found else "not given"
    if isinstance(found, int | float):
        return f"{found:g}"
    if not found:
        return "absent"
    text = "/".join(found) if isinstance(found, tuple) else found.replace("\\", "/")
    return repr(text[:MATCHED_CHARACTERS])
