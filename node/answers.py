"""What a server answered: whether it is the file, and if not, what a person or another attempt can do.

References
----------
RFC 9110 8.8 (validators), 10.2.3 (Retry-After), 15 (status codes).
"""

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_IN_WORDS = {
    401: "wants a password",
    403: "forbids it: a proxy may block it, or the file may no longer be public",
    404: "has no such file (any more)",
    407: "is behind a proxy that wants a password; put it into HTTPS_PROXY",
    410: "has removed it",
    451: "may not give it out",
}


class DownloadError(Exception):
    """A file cannot be fetched; the message says why, and what else can be done."""


class AgainError(Exception):
    """What may pass."""

    def __init__(self, why: str, *, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


def check_status(url: str, response: requests.Response) -> None:
    """Let a file pass.

    Raises
    ------
    AgainError
        If another attempt may help.
    DownloadError
        If none will.
    """
    code = response.status_code
    if code in _TRY_AGAIN:
        raise AgainError(f"the server answers {code} {response.reason}", after_s=retry_after_s(response))
    if code not in (requests.codes.ok, requests.codes.partial_content):
        words = _IN_WORDS.get(code, f"answers {response.reason or 'nothing that we know'}")
        raise DownloadError(
            f"{url}: the server {words} ({code}). If you have the file: opacity-node models add NAME FILE"
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{url}: a web page came instead of the file; does a proxy want you to log in?")


def retry_after_s(response: requests.Response) -> float | None:
    """Return for how long the server wants to be left alone, in seconds or until a date."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    return None


def mark_of(response: requests.Response) -> str:
    """Return what tells this file from a later one; a weak tag does not (RFC 9110 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
