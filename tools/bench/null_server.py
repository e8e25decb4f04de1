"""An S3 that counts the bytes of what it is given and keeps none: what is left of an export's time is the client's own.

It takes uploads to Custobar, too.

In a process of its own, as any store is. ``GET /counts`` answers with what came since the last time: ``requests``, ``bytes``.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

from tools.airflow_home import PROJECT

_PATHS = {"s3": {"addressing_style": "path"}}
_XML = "http://s3.amazonaws.com/doc/2006-03-01/"


class NullServer:
    """A context manager around the process; any keys will do."""

    access_key = secret_key = "null"
    region = "us-east-1"
    endpoint_url = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tools.bench.null_server"]
        self._process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.endpoint_url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._process.communicate("")

    def airflow_connection(self) -> str:
        """For the hook for AWS."""
        extra = {"endpoint_url": self.endpoint_url, "region_name": self.region, "config_kwargs": _PATHS}
        return json.dumps({"conn_type": "aws", "login": self.access_key, "password": self.secret_key, "extra": extra})

    @property
    def pid(self) -> int:
        return self._process.pid

    def counts(self) -> dict[str, int]:
        with urlopen(f"{self.endpoint_url}/counts") as answer:
            counts: dict[str, int] = json.load(answer)
            return counts


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lock = threading.Lock()
    counts: ClassVar[dict[str, int]] = {"requests": 0, "bytes": 0}

    def do_GET(self) -> None:
        with self.lock:
            body = json.dumps(self.counts).encode()
            self.counts.update(requests=0, bytes=0)
        self._answer(body)

    def do_HEAD(self) -> None:
        self._count(0)
        self._answer(b"")

    def do_PUT(self) -> None:
        self._count(self._drain())
        self._answer(b"")

    def do_POST(self) -> None:
        self._drain()
        self._count(0)
        if self.path.startswith("/api/"):
            # An upload to Custobar.
            self._answer(b"{}")
            return
        begins = "uploads" in parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        name = "InitiateMultipartUploadResult" if begins else "CompleteMultipartUploadResult"
        within = "<Bucket>b</Bucket><Key>k</Key><UploadId>1</UploadId>" if begins else "<ETag>e</ETag>"
        self._answer(f'<{name} xmlns="{_XML}">{within}</{name}>'.encode())

    def _count(self, size: int) -> None:
        with self.lock:
            self.counts["requests"] += 1
            self.counts["bytes"] += size

    def _drain(self) -> int:
        """The bytes of the object in the body, which may come in chunks that S3 signs or sums up."""
        size = left = int(self.headers["Content-Length"] or 0)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        return int(self.headers["X-Amz-Decoded-Content-Length"] or size)

    def handle_expect_100(self) -> bool:
        # Answered where the body is read.
        return True

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def main() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
        sys.stdout.flush()
        # Until whoever started it ends.
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
