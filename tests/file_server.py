"""An HTTP server on the loopback that serves one file, well or badly, as a test tells it to."""

import re
import ssl
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: "FileServer"

    def do_GET(self):
        self.server.requests.append(self)
        answer = self.server.answers.popleft() if self.server.answers else serve
        answer(self)
        self.close_connection = True

    def start(self, code, headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


class FileServer(ThreadingHTTPServer):
    """Serves `data`; the first answers may be scripted, all others are correct."""

    daemon_threads = True

    def __init__(self, data: bytes, *, etag: str = '"one"', certificate=None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.etag, self.always = data, etag, False
        self.answers: deque[Answer] = deque()
        self.requests: list[Handler] = []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https" if certificate else "http"

    def url(self, name="weights.pth") -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/{name}"

    def script(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    def ranges(self) -> list[str | None]:
        """Return the ranges that were asked for."""
        return [request.headers["Range"] for request in self.requests]

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass  # a client that refuses a certificate hangs up


def serve(handler: Handler, *, cut_after: int | None = None, length: int | None = None, ranges: bool = True) -> None:
    """Answer as RFC 9110 wants it, or cut, or with another Content-Length, or blind to ranges."""
    server = handler.server
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
    same = handler.headers["If-Range"] in (None, server.etag)
    start = int(asked[1]) if ranges and asked and same else 0
    total = len(server.data)
    if start >= total > 0 and asked:
        handler.start(416, {"Content-Range": f"bytes */{total}", "Content-Length": 0})
        return
    body = server.data[start:]
    headers = {"Content-Length": len(body) if length is None else length}
    if server.etag:
        headers["ETag"] = server.etag
    if start:
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
    handler.start(206 if start else 200, headers)
    handler.wfile.write(body[:cut_after])


def cut(after: int) -> Answer:
    return lambda handler: serve(handler, cut_after=after)


def blind(handler: Handler) -> None:
    serve(handler, ranges=False)


def claims(length: int) -> Answer:
    return lambda handler: serve(handler, length=length)


def says(code: int, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.start(code, {"Content-Length": 0, **fields})


def leads_to(url: str) -> Answer:
    return says(302, Location=url)


def without_length(handler: Handler) -> None:
    handler.start(200, {})
    handler.wfile.write(handler.server.data)


def web_page(handler: Handler) -> None:
    page = b"<html>Please log in</html>"
    handler.start(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": len(page)})
    handler.wfile.write(page)


def hangs_up(handler: Handler) -> None:
    handler.connection.close()
