"""A website on loopback as a hospital runs it: OHIF as deploy/ configures it, and a DICOMweb server behind it.

The standard library's server is enough for one browser, and needs no installation.
"""

import http.client
import mimetypes
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from tests.processes import LOOPBACK

DICOMWEB = "/dicom-web"
_TIMEOUT_S = 60
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css"}
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CONFIGURATION = Path(__file__).parents[2] / "deploy" / "ohif-config.js"
_QUIETLY = "window.config.investigationalUseDialog = { option: 'never' };"


class ViewerSite:
    """OHIF before a DICOMweb server, used as a context manager.

    Parameters
    ----------
    ohif : Path
        The folder that holds OHIF's index.html.
    dicomweb_port : int
        Of the server on loopback whose /dicom-web it passes on.
    """

    def __init__(self, ohif: Path, dicomweb_port: int) -> None:
        handler = type("Handler", (_Handler,), {"files": ohif.resolve(), "dicomweb_port": dicomweb_port})
        self._server = ThreadingHTTPServer((LOOPBACK, 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="viewer site", daemon=True)

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    files: Path
    dicomweb_port: int

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith(f"{DICOMWEB}/"):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", f"{_CONFIGURATION.read_text()}\n{_QUIETLY}".encode())
        else:
            self._file(path)

    def do_POST(self) -> None:
        self._pass_on()

    def log_message(self, *_: object) -> None:
        """Keep quiet: a page load is hundreds of lines."""

    def _file(self, path: str) -> None:
        """Send a file; what is none is a route of the one-page application, unless it looks like a file."""
        file = (self.files / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.files) or (not file.is_file() and file.suffix):
            self._answer(404, "text/plain", b"")
            return
        if not file.is_file():
            file = self.files / "index.html"
        self.send_response(200)
        self._headers(_TYPES.get(file.suffix) or mimetypes.guess_type(file)[0] or "application/octet-stream")
        self.send_header("Content-Length", str(file.stat().st_size))
        self.send_header("Cache-Control", "max-age=3600")  # the next page load of the same browser reads no file again
        self.end_headers()
        with file.open("rb") as source:
            shutil.copyfileobj(source, self.wfile, 1 << 20)

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        kept = {k: v for k, v in self.headers.items() if k.lower() in ("host", "accept", "content-type", "range")}
        connection = http.client.HTTPConnection(LOOPBACK, self.dicomweb_port, timeout=_TIMEOUT_S)
        try:
            connection.request(self.command, self.path, self.rfile.read(length) if length else None, kept)
            answer = connection.getresponse()
            self._answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())
        except OSError as error:
            self._answer(502, "text/plain", str(error).encode())
        finally:
            connection.close()

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self._headers(content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, content_type: str) -> None:
        self.send_header("Content-Type", content_type)
        for name, value in _ISOLATED.items():
            self.send_header(name, value)
