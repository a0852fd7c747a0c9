r"""Keys of a query -> conditions on columns.

Several values, which the standard has for UIDs alone, are alternatives for every key: viewers ask for `CT\MR`.

References
----------
PS3.4 C.2.2.2 Attribute Matching; PS3.5 6.2 for the value representations, 6.2.1 Person Name.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from db.files import is_uid

Matches = Callable[[Sequence[str]], ColumnElement[bool]]
"""From the values of a key, none of them universal, to a condition."""

_DATE = re.compile(r"\d{8}|\d{4}\.\d\d\.\d\d")
_TIME = re.compile(r"\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?")
_ACCENTS = re.compile("[\u0300-\u036f]")
_AFTER_ALL = "\U0010ffff"
_AFTER_DIGITS = "~"
_MOST_VALUES = 10_000


class UnusableKeyError(Exception):
    """A key has a value that none of its kind can have."""


def is_universal(value: str) -> bool:
    """Say whether a value matches everything (C.2.2.2.3), as empty ones and those of asterisks alone do."""
    return not value.strip("* ")


def fold(text: str) -> str:
    """Return a text without what names are matched regardless of: case, and accents."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", bare.casefold())


def name_groups(name: str) -> tuple[str, str, str]:
    """Return the alphabetic, ideographic and phonetic group of a person name, folded, as names are stored and asked."""
    groups = [*name.split("="), "", ""][:3]
    alphabetic, ideographic, phonetic = (
        fold("^".join(part.strip() for part in group.split("^")).rstrip("^")) for group in groups
    )
    return alphabetic, ideographic, phonetic


def text(column: InstrumentedAttribute[str]) -> Matches:
    """Match a text as it is written, with wild cards."""
    return lambda values: or_(*(_text(column, value.strip()) for value in _few(values)))


def literal(column: InstrumentedAttribute[str]) -> Matches:
    """Match UIDs, in which no wild card is allowed."""
    return lambda values: column.in_([value for value in map(str.strip, _few(values)) if is_uid(value)])


def number(column: ColumnElement[int] | InstrumentedAttribute[int | None]) -> Matches:
    """Match whole numbers."""
    return lambda values: column.in_([_whole(value) for value in _few(values)])


def name(alphabetic: InstrumentedAttribute[str], *others: InstrumentedAttribute[str]) -> Matches:
    """Match person names, without regard to case and accents.

    A key of one component group matches any group of a name, the alphabetic one if it is ASCII, as the others never
    are; a key of several groups matches each that it gives.
    """
    columns = (alphabetic, *others)

    def match(values: Sequence[str]) -> ColumnElement[bool]:
        return or_(*(_name(columns, value) for value in _few(values)))

    return match


def date(column: InstrumentedAttribute[str]) -> Matches:
    """Match dates, and ranges of them."""
    return lambda values: or_(*(_range(column, value, _day, "") for value in _few(values)))


def time(column: InstrumentedAttribute[str]) -> Matches:
    """Match times, and ranges of them; one that is given to the minute is the whole minute."""
    return lambda values: or_(*(_range(column, value, _clock, _AFTER_DIGITS) for value in _few(values)))


def _few(values: Sequence[str]) -> Sequence[str]:
    if len(values) > _MOST_VALUES:
        raise UnusableKeyError(f"a key has more than {_MOST_VALUES} values")
    return values


def _text(column: ColumnElement[str] | InstrumentedAttribute[str], pattern: str) -> ColumnElement[bool]:
    """Compare with a pattern; what stands before the first wild card is looked up."""
    before = re.split(r"[*?]", pattern, maxsplit=1)[0]
    if before == pattern:
        return column == pattern
    # GLOB is DICOM's wild card matching, but for its sets in brackets.
    like: ColumnElement[bool] = column.bool_op("GLOB")(pattern.replace("[", "[[]"))
    return and_(column >= before, column < before + _AFTER_ALL, like) if before else like


def _name(columns: Sequence[InstrumentedAttribute[str]], value: str) -> ColumnElement[bool]:
    groups = name_groups(value)
    if not any(groups[1:]):
        if groups[0].isascii():
            return _text(columns[0], groups[0])
        return or_(*(_text(column, groups[0]) for column in columns))
    given = [(column, group) for column, group in zip(columns, groups, strict=False) if not is_universal(group)]
    return and_(*(_text(column, group) for column, group in given))


def _range(
    column: InstrumentedAttribute[str], value: str, read: Callable[[str], str], after: str
) -> ColumnElement[bool]:
    first, dash, last = value.strip().partition("-")
    lower = read(first) if first else ""
    upper = read(last) if last else ""
    if not dash:
        upper = lower
    if not (lower or upper):
        raise UnusableKeyError("a range has neither begin nor end")
    conditions: list[Any] = [column >= lower] if lower else [column != ""]
    if upper:
        conditions.append(column <= upper + after)
    return and_(*conditions)


def _day(value: str) -> str:
    if not _DATE.fullmatch(value.strip()):
        raise UnusableKeyError("a date is not written as YYYYMMDD")
    return value.strip().replace(".", "")


def _clock(value: str) -> str:
    if not _TIME.fullmatch(value.strip()):
        raise UnusableKeyError("a time is not written as HHMMSS.FFFFFF")
    return value.strip().replace(":", "")


def _whole(value: str) -> int:
    try:
        number = int(value)
    except ValueError as error:
        raise UnusableKeyError("a number is not a whole number") from error
    if abs(number) >= 2**31:
        raise UnusableKeyError("a number is beyond the range of IS")
    return number
