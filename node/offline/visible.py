"""Text of headers and file names, made so that it does nothing where it is shown."""

import re

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls (which terminals obey), signs that turn the direction of text, bytes of a file name that are no text."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    r"""Return a text with what would not be seen written as an escape, such as ``\x1b``."""
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def cell(value: object) -> object:
    """Return a value for a table; a text that a spreadsheet would run as a formula begins with an apostrophe.

    References
    ----------
    OWASP, CSV Injection.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
