"""A connection to an S3 server on which things go wrong."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Kind = str
_ERROR = b"<Error><Code>%s</Code><Message>made up by the test</Message></Error>"


@dataclass
class Trouble:
    """What happens to requests of one kind: ``drop`` them unanswered, ``lose`` the answer, ``refuse`` with a status, ``slow``.

    ``after`` requests of the kind pass first; then ``times`` of them meet the trouble.
    """

    kind: Kind
    what: str
    after: int = 0
    times: int = 1_000_000
    status: int = 503
    code: bytes = b"SlowDown"
    seconds: float = 0.3
    met: int = 0


def kind_of(method: str, path: str) -> Kind:
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if "partNumber" in query:
        return "part"
    if "uploadId" in query:
        return {"POST": "complete", "DELETE": "abort", "GET": "list-parts"}.get(method, method)
    if "uploads" in query:
        return "create" if method == "POST" else "list-uploads"
    return {"PUT": "put", "DELETE": "delete"}.get(method, method)


@contextmanager
def faulty(endpoint_url: str, *troubles: Trouble) -> Iterator[str]:
    """An address that leads to ``endpoint_url``, but for the troubles on the way."""
    address = urlsplit(endpoint_url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            if self.headers.get("Expect"):
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            trouble = self.trouble()
            if trouble is not None and trouble.what == "slow":
                time.sleep(trouble.seconds)
            elif trouble is not None and trouble.what == "refuse":
                self.answer(trouble.status, {"Content-Type": "application/xml"}, _ERROR % trouble.code)
                return
            elif trouble is not None and trouble.what == "drop":
                self.cut()
                return
            server = http.client.HTTPConnection(address, timeout=60)
            # The Host header stays as it was signed.
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    server.putheader(name, value)
            server.endheaders(body)
            reply = server.getresponse()
            content = reply.read()
            server.close()
            if trouble is not None and trouble.what == "lose":
                self.cut()
                return
            ours = ("connection", "transfer-encoding", "content-length")
            headers = {name: value for name, value in reply.getheaders() if name.lower() not in ours}
            if self.command == "HEAD":
                headers["Content-Length"] = reply.getheader("Content-Length") or "0"
            self.answer(reply.status, headers, content)

        def trouble(self) -> Trouble | None:
            kind = kind_of(self.command, self.path)
            for each in troubles:
                if each.kind == kind:
                    each.met += 1
                    if each.after < each.met <= each.after + each.times:
                        return each
            return None

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    work: Callable[[], None] = server.serve_forever
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
