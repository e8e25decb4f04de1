"""A real port for the sandbox: HTTP/1.1 with connections kept open, which werkzeug's server does not do."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, cast
from urllib.parse import unquote

from werkzeug import Request, Response
from werkzeug.serving import DechunkedInput

from airflow_provider_custobar.sandbox.errors import ConnectionDroppedError

HOST = "127.0.0.1"
#: A refused body is read up to here, so that the connection stays usable; a longer one closes it.
_MOST_DRAINED = 100_000_000
_CHUNK = 1 << 20


class SandboxServer(ThreadingHTTPServer):
    """Serves a function on the loopback interface, a thread per connection."""

    daemon_threads = True
    block_on_close = False
    # The default of 5 makes a burst of parallel clients wait for a retransmission.
    request_queue_size = 128

    def __init__(self, port: int, handle: Callable[[Request], Response], on_error: Callable[[BaseException], None]) -> None:
        self.handle_api = handle
        self._on_error = on_error
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def start(self) -> None:
        """Serve in the background until :meth:`stop`."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="custobar-sandbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close the connections that clients still hold."""
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep an error of a connection's thread for whoever runs the sandbox; broken clients are none."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self._on_error(error)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection while it lives."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    """Translates between the wire and werkzeug's requests and responses."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes; Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = _body(self.headers, self.rfile)
        try:
            environ = self._environ(body)
            self._send(self.server.handle_api(Request(environ)), environ)
        except ConnectionDroppedError:
            self.close_connection = True
            return
        if not _drained(body):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Write nothing: the sandbox keeps its own log."""

    def _environ(self, body: Any) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        server_host, server_port = self.server.server_address[:2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": str(server_host),
            "SERVER_PORT": str(server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            # The input ends by itself, so a chunked body needs no length.
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        return environ

    def _send(self, response: Response, environ: dict[str, Any]) -> None:
        self.send_response(response.status_code)
        for name, value in response.get_wsgi_headers(environ).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        chunks: Iterable[bytes] = response.iter_encoded()
        for chunk in chunks:
            self.wfile.write(chunk)
            self.wfile.flush()
        response.close()


class _Limited(io.RawIOBase):
    """As many bytes of a connection as the Content-Length says."""

    def __init__(self, source: Any, length: int) -> None:
        self._source = source
        self._left = length

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most what is left."""
        wanted = min(len(buffer), self._left)
        data = self._source.read1(wanted) if wanted else b""
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _body(headers: Any, source: Any) -> io.BufferedReader:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return io.BufferedReader(cast(io.RawIOBase, DechunkedInput(source)))
    length = headers.get("Content-Length", "0")
    return io.BufferedReader(_Limited(source, int(length) if length.isdecimal() else 0))


def _drained(body: io.BufferedReader) -> bool:
    """Read what the answer left of a request's body; False if it is too much."""
    left = _MOST_DRAINED
    while left > 0:
        data = body.read(min(_CHUNK, left))
        if not data:
            return True
        left -= len(data)
    return False
