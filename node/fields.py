"""The kinds of values that settings have, each with what to do about a wrong one."""

import importlib
import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from handlers import passcodes

MATCHED_CHARACTERS = 64
"""Of a value that a pattern is searched in: as many as a description may have (LO, PS3.5 6.2)."""
_MOST_REPEATS = 4
IN_WORDS = {
    "extra_forbidden": "there is no such setting; check its spelling and section",
    "missing": "is not given; add it",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "string_type": 'give a text, in "quotes"',
    "tuple_type": 'give a list, such as ["a", "b"]',
    "model_type": "give a table, such as { name = value }",
    "greater_than": "must be more than %(gt)s",
    "greater_than_equal": "must be %(ge)s or more",
    "less_than_equal": "must be %(le)s or less",
    "too_short": "needs %(min_length)s or more",
    "string_too_short": "needs %(min_length)s or more characters",
    "string_too_long": "may have %(max_length)s characters or less",
    "string_pattern_mismatch": "begin with a letter or digit; then those, spaces, _ . and - only",
    "literal_error": "must be %(expected)s",
}
"""What is wrong with a value and what to do, by pydantic's name of the error."""
PRIORITIES = {"routine": 0, "high": 50, "stat": 100}


class Section(BaseModel):
    """A table of the configuration: frozen, and without settings that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(Section):
    """Numbers from `min` to `max`, both included; either may be left out."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both, such as { min = 1, max = 3 }")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing lies between min = {self.min:g} and max = {self.max:g}; exchange them")
        return self

    def holds(self, value: float) -> bool:
        """Say whether a number is in the range."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.max is None:
            return f"{self.min:g} or more"
        return f"{self.max:g} or less" if self.min is None else f"{self.min:g} to {self.max:g}"


def _ae_title(value: str) -> str:
    """Check an AE title (PS3.5 6.2: up to 16 printable characters, no backslash, not only spaces)."""
    stripped = value.strip()
    if not 1 <= len(stripped) <= 16 or "\\" in stripped or not stripped.isascii() or not stripped.isprintable():
        raise ValueError("an AE title has 1 to 16 printable ASCII characters and no backslash")
    return stripped


def _allowed_ae_title(value: str) -> str:
    ae_title, at, network = value.rpartition("@")
    if not at:
        return _ae_title(value)
    if "/" not in network and not network.replace(".", "").isdigit() and ":" not in network:
        return _ae_title(value)
    return f"{_ae_title(ae_title)}@{_network(network)}"


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip()))
    except ValueError as error:
        raise ValueError(f"{error}; give a network such as 10.1.0.0/16, or an address") from error


def _passcode(value: str) -> str:
    return passcodes.check(value) if value else value


def _pattern(value: Any) -> re.Pattern[str]:  # noqa: ANN401 - whatever the file says
    if isinstance(value, re.Pattern):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("give a regular expression as a text, such as 'chest|thorax'")
    try:
        compiled = re.compile(value, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}; put \\ before a sign that stands for itself") from error
    _check_that_it_ends(value)
    return compiled


def _check_that_it_ends(pattern: str) -> None:
    """Refuse what can take for ever on a text made for it: Python's search holds up all threads while it tries.

    A repeat within a repeat takes time that grows exponentially with the text; one after the other, a power of it.
    """
    parsed = importlib.import_module("re._parser").parse(pattern)  # its public name, sre_parse, is deprecated
    if any(name.endswith("_REPEAT") and args[1] > 1 and _varies(args[2]) for name, args in _operations(parsed)):
        raise ValueError("repeats what itself repeats or has alternatives, which may take for ever; write it flat")
    if _repeats(parsed) > _MOST_REPEATS:
        raise ValueError(f"has more than {_MOST_REPEATS} repeats (* + {{n,m}}) in a row, which may take for ever")


def _operations(parsed: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - the parser of re has no types
    """Yield every operation of a parsed pattern with its arguments, however deep."""
    if type(parsed).__name__ == "SubPattern":
        for operation, arguments in parsed:
            yield str(operation), arguments
            yield from _operations(arguments)
    elif isinstance(parsed, tuple | list):
        for part in parsed:
            yield from _operations(part)


def _varies(parsed: Any) -> bool:  # noqa: ANN401 - the parser of re has no types
    return any(
        name == "BRANCH" or (name.endswith("_REPEAT") and args[0] != args[1]) for name, args in _operations(parsed)
    )


def _repeats(parsed: Any) -> int:  # noqa: ANN401 - the parser of re has no types
    """Return how many repeats one way through a parsed pattern meets."""
    if type(parsed).__name__ != "SubPattern":
        return sum(map(_repeats, parsed)) if isinstance(parsed, tuple | list) else 0
    count = 0
    for operation, arguments in parsed:
        name = str(operation)
        if name == "BRANCH":
            count += max(map(_repeats, arguments[1]))
        else:
            count += _repeats(arguments) + (name.endswith("_REPEAT") and arguments[1] > max(1, arguments[0]))
    return count


def _several(value: Any) -> Any:  # noqa: ANN401 - whatever the file says
    return (value,) if isinstance(value, str) else value


def _priority(value: Any) -> Any:  # noqa: ANN401 - whatever the file says
    if not isinstance(value, str):
        return value
    if value.lower() not in PRIORITIES:
        raise ValueError(f"one of {', '.join(PRIORITIES)}, or a number from 0 to 100")
    return PRIORITIES[value.lower()]


AETitle = Annotated[str, AfterValidator(_ae_title)]
AllowedAETitle = Annotated[str, AfterValidator(_allowed_ae_title)]
"""An AE title, or one and the network that it may call from: ``CT1@10.1.0.0/16``."""
NetworkText = Annotated[str, AfterValidator(_network)]
Passcode = Annotated[str, AfterValidator(_passcode)]
Port = Annotated[int, Field(ge=1, le=65535)]
PortOrOff = Annotated[int, Field(ge=0, le=65535)]
"""0 is off."""
Seconds = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$", max_length=64)]
Pattern = Annotated[re.Pattern[str], BeforeValidator(_pattern)]
Priority = Annotated[int, BeforeValidator(_priority), Field(ge=0, le=100)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
AETitles = Annotated[tuple[AETitle, ...], BeforeValidator(_several), Field(min_length=1)]
