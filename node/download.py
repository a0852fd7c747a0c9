"""Fetch one file over HTTP: resumed where it was cut, bounded, checked for what a server should have said.

What arrives is not trusted here: `node.installation` hashes it before it replaces anything. requests does proxies
(``HTTPS_PROXY``, ``NO_PROXY``) and certificates; resuming is written here, since pooch, which would verify, does not
resume.

References
----------
RFC 9110 13.1.5 (If-Range), 14.2 (Range), 10.2.3 (Retry-After).
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from node.answers import AgainError, DownloadError, check_status, mark_of
from node.partial import Partial

_CHUNK = 1 << 16  # what a cut costs at most
_ROOM_LEFT = 64 << 20
_REDIRECTS = 10
_FUTILE_AT_MOST = 5
_ATTEMPTS_AT_MOST = 50
_PAUSE_AT_MOST_S = 120.0
_TIMEOUT_S = (20.0, 60.0)
OnProgress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to fetch.

    Attributes
    ----------
    url : str
        Where it is.
    path : Path
        Takes the bytes; what lies there from an earlier attempt is resumed if the server's file is still the same.
    size : int or None
        Bytes, where they are known for sure.
    about : int or None
        Bytes, roughly.
    """

    url: str
    path: Path
    size: int | None = None
    about: int | None = None

    @property
    def part(self) -> Partial:
        """What came so far."""
        return Partial(self.path, self.url)


class Downloader:
    """Fetches files.

    Parameters
    ----------
    ca_bundle : Path or None
        Certificates to trust instead of those of ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE`` or certifi.
    pause : callable
        Waits so many seconds between attempts.
    on_pause : callable
        Told why, before each such wait.
    """

    def __init__(
        self,
        *,
        ca_bundle: Path | None = None,
        pause: Callable[[float], None] = time.sleep,
        on_pause: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._session = requests.Session()
        self._verify = str(ca_bundle) if ca_bundle else _verify_by_environment()
        self._pause, self._on_pause = pause, on_pause

    def fetch(self, wanted: Wanted, on_progress: OnProgress = lambda _done, _of: None) -> None:
        """Fetch a file whole and put it on stable storage.

        Raises
        ------
        DownloadError
            If it cannot be had; what arrived stays for the next attempt, unless it is of no use.
        """
        _check_room(wanted.path.parent, (wanted.size or wanted.about or 0) - wanted.part.size)
        futile = 0
        for _ in range(_ATTEMPTS_AT_MOST):
            before = wanted.part.size
            try:
                self._attempt(wanted, on_progress)
            except AgainError as error:
                futile = 0 if wanted.part.size > before else futile + 1
                last = error
            else:
                wanted.part.finish()
                return
            if futile > _FUTILE_AT_MOST:
                break
            pause_s = _pause_s(last, futile)
            self._on_pause(f"{last}; once more in {pause_s:.0f} s")
            self._pause(pause_s)
        kept = " What came is kept: the same command goes on from there." if wanted.part.mark else ""
        raise DownloadError(f"{wanted.url}: {last}; gave up.{kept}")

    def _attempt(self, wanted: Wanted, on_progress: OnProgress) -> None:
        mark = wanted.part.mark
        headers = {"Accept-Encoding": "identity", "User-Agent": "opacity-node"}
        if mark:
            headers |= {"Range": f"bytes={wanted.part.size}-", "If-Range": mark}
        with self._get(wanted.url, headers) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if wanted.part.size == wanted.size:
                    return
                wanted.part.drop()
                raise AgainError("the server's file is shorter than what came")
            check_status(wanted.url, response)
            start = _start(wanted, response)
            total = _total(wanted, response, start)
            _check_room(wanted.path.parent, (total or wanted.about or 0) - start)
            if start == 0:
                wanted.part.drop()  # before the new mark is noted: old bytes under it would be taken for the new file's
            wanted.part.begin(mark_of(response))
            _receive(wanted, response, start=start, total=total, on_progress=on_progress)

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """Get a URL; redirects are followed here, since requests would follow them from https to http."""
        where = url
        for _ in range(_REDIRECTS):
            try:
                response = self._session.get(
                    where, headers=headers, stream=True, allow_redirects=False, timeout=_TIMEOUT_S, verify=self._verify
                )
            except requests.exceptions.SSLError as error:
                raise DownloadError(
                    f"{where}: its certificate is not trusted ({_said(error)}). Behind an inspecting proxy, name its "
                    f"certificates: --ca-bundle FILE, or REQUESTS_CA_BUNDLE"
                ) from error
            except requests.exceptions.ProxyError as error:
                raise AgainError(f"the proxy does not let us through ({_said(error)}); see HTTPS_PROXY") from error
            except (requests.ConnectionError, requests.Timeout) as error:
                raise AgainError(f"{urlsplit(where).hostname} cannot be reached ({_said(error)})") from error
            except (requests.RequestException, OSError) as error:
                raise DownloadError(f"{where}: {_said(error)}") from error
            if not response.is_redirect:
                return response
            target = urljoin(where, response.headers["Location"])
            response.close()
            if not _may_redirect(where, target):
                raise DownloadError(f"{where} leads to {target}, where nothing protects the transfer; not followed")
            where = target
        raise DownloadError(f"{url} leads in a circle: {_REDIRECTS} redirects and no file")


def _receive(
    wanted: Wanted, response: requests.Response, *, start: int, total: int | None, on_progress: OnProgress
) -> None:
    done, limit = start, wanted.size or total
    try:
        with wanted.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in response.iter_content(_CHUNK):
                done += len(chunk)
                if limit is not None and done > limit:
                    wanted.part.drop()
                    raise DownloadError(f"{wanted.url}: the server sends more than {limit} bytes; this is not the file")
                _check_room(wanted.path.parent, len(chunk))
                file.write(chunk)
                on_progress(done, limit)
            file.flush()
            os.fsync(file.fileno())
    except requests.RequestException as error:
        raise AgainError(f"the connection was cut after {wanted.part.size} bytes") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(f"the disk of {wanted.path.parent} is full; free some room and repeat") from error
        raise DownloadError(f"{wanted.path} cannot be written: {error.strerror}") from error
    if limit is not None and done < limit:
        raise AgainError(f"the connection was cut after {done} of {limit} bytes")


def _start(wanted: Wanted, response: requests.Response) -> int:
    """Return the offset of the first byte that comes: 0 if the server ignores ranges, or has another file now."""
    if response.status_code != requests.codes.partial_content:
        return 0
    kept = wanted.part.size
    said = response.headers.get("Content-Range", "")
    if not said.startswith(f"bytes {kept}-") or mark_of(response) not in ("", wanted.part.mark):
        wanted.part.drop()
        raise AgainError("the server's file changed meanwhile")
    return kept


def _total(wanted: Wanted, response: requests.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    if wanted.size is not None and total is not None and total != wanted.size:
        raise DownloadError(
            f"{wanted.url}: the server offers {total} bytes, expected {wanted.size}; this is not the file"
        )
    return total


def _pause_s(error: AgainError, futile: int) -> float:
    """Return how long to wait; a server that wants more than we are ready to wait ends it.

    Raises
    ------
    DownloadError
        If so.
    """
    if error.after_s is not None and error.after_s > _PAUSE_AT_MOST_S:
        raise DownloadError(f"{error}, and asks to come back in {error.after_s:.0f} s; repeat the command then")
    return error.after_s if error.after_s is not None else min(2.0**futile, _PAUSE_AT_MOST_S)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _ROOM_LEFT:
        raise DownloadError(
            f"{folder} has {free / 1e6:.0f} MB free, and {(needed + _ROOM_LEFT) / 1e6:.0f} MB are needed; nothing more "
            f"was fetched. Free some room, or name another folder with --to-dir"
        )


def _may_redirect(origin: str, target: str) -> bool:
    scheme = urlsplit(target).scheme
    return scheme == "https" or (scheme == "http" and urlsplit(origin).scheme == "http")


def _verify_by_environment() -> str | bool:
    """Return certificates of ``SSL_CERT_FILE``, which requests does not read; the other two it reads itself."""
    theirs = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return True if theirs else os.environ.get("SSL_CERT_FILE") or True


def _said(error: Exception) -> str:
    """Return the innermost reason in one line."""
    inner: BaseException = error
    while (next_inner := getattr(inner, "reason", None) or inner.__cause__ or inner.__context__) is not None:
        if not isinstance(next_inner, BaseException):
            break
        inner = next_inner
    return (str(inner).strip() or type(inner).__name__).splitlines()[0][:200]
