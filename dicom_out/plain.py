"""Our own words in the one repertoire that every Specific Character Set and every font holds.

References
----------
PS3.5 6.1.1: the default repertoire, ISO IR 6, is part of all others.
"""

_SIGNS = str.maketrans(
    {"≤": "<=", "≥": ">=", "\u2013": "-", "—": "-", "\u00d7": "x", "±": "+/-", "²": "2", "³": "3", "µ": "u"}
)


def plain(text: str) -> str:
    """Return a text in ASCII: signs of measure spelt out, anything else beyond it as a question mark."""
    return text.translate(_SIGNS).encode("ascii", "replace").decode()
