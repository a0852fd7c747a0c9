"""What people are told in words: counted things, and units by their usual signs."""

_SHOWN = {"[hnsf'U]": "HU", "1": "", "ml": "mL", "a": "years"}


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the right number; `plural` where an s alone does not make it."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def unit_shown(ucum: str) -> str:
    """Return the sign by which people know a UCUM unit; results keep UCUM."""
    return _SHOWN.get(ucum, ucum)
