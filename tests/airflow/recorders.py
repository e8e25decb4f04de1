"""Servers that stand for warehouses which cannot be had here: they take whatever they are told, and remember it."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class _Serving:
    """A context manager around a server of the standard library's."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self.port: int = server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class StatementRecorder(_Serving):
    """Speaks as much of PostgreSQL's protocol as the drivers of PostgreSQL and Redshift need to send statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        statements = self.statements

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # Until the client goes away.
                with suppress(ConnectionError, struct.error):
                    _answer(self.rfile, self.wfile, statements)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        super().__init__(server)

    def airflow_connection(self, conn_type: str, **extra: Any) -> str:
        login = {"host": "127.0.0.1", "port": self.port, "login": "user", "password": "a-password-of-nobody", "schema": "dev"}
        return json.dumps({"conn_type": conn_type, **login, "extra": extra})


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


_IDLE = _message(b"Z", b"I")
_DONE = _message(b"C", b"OK 0\0")
# Parse, Bind, Describe (no parameters, no rows), Execute, Close and Sync are answered by one message each.
_ANSWERS = {
    b"P": _message(b"1"),
    b"B": _message(b"2"),
    b"D": _message(b"n"),
    b"E": _DONE,
    b"C": _message(b"3"),
    b"S": _IDLE,
    b"Q": _DONE + _IDLE,
}


def _answer(requests: Any, answers: Any, statements: list[str]) -> None:
    def read(*, has_kind: bool) -> tuple[bytes, bytes]:
        kind = requests.read(1) if has_kind else b""
        return kind, requests.read(struct.unpack("!I", requests.read(4))[0] - 4)

    while read(has_kind=False)[1][:4] == struct.pack("!I", 80877103):
        answers.write(b"N")  # no TLS here
    told = {"server_version": "14.0", "client_encoding": "UTF8", "server_encoding": "UTF8", "standard_conforming_strings": "on"}
    answers.write(_message(b"R", struct.pack("!I", 0)))
    for name, value in told.items():
        answers.write(_message(b"S", f"{name}\0{value}\0".encode()))
    answers.write(_message(b"K", struct.pack("!II", 1, 1)) + _IDLE)
    while True:
        kind, body = read(has_kind=True)
        if kind == b"X":
            return
        if kind in (b"P", b"Q"):
            statements.append(body.split(b"\0")[-2 if kind == b"Q" else 1].decode())
        if kind == b"D" and body.startswith(b"S"):
            answers.write(_message(b"t", struct.pack("!H", 0)))
        answers.write(_ANSWERS.get(kind, b""))


class BigQueryRecorder(_Serving):
    """Takes jobs as BigQuery's API does, and says that they are done."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        jobs = self.jobs

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                jobs.append(job)
                self._tell(job)

            def do_GET(self) -> None:
                self._tell(jobs[-1])

            def _tell(self, job: dict[str, Any]) -> None:
                body = json.dumps({**job, "id": "job", "status": {"state": "DONE"}, "statistics": {}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody wants to read it."""

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))

    def environment(self) -> dict[str, str]:
        """The variable that sends BigQuery's client here."""
        return {"BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{self.port}"}
