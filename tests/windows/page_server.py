"""A server that answers with pages as they were written, byte for byte, timestamps that are none included."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Row = Mapping[str, Any] | str


class PageServer(ThreadingHTTPServer):
    """``pages`` maps a ``type`` or a ``sale_date`` to the pages that come for it; for others an empty one comes.

    A row of JSON is a mapping, one of CSV a text. ``header`` is the header line of CSV pages.
    """

    def __init__(self, pages: Mapping[str, Sequence[Sequence[Row]]], header: str = "") -> None:
        self.pages = pages
        self.header = header
        self.asked: list[dict[str, list[str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def connection(self, **extra: Any) -> str:
        host = f"http://127.0.0.1:{self.server_address[1]}"
        document = {"conn_type": "custobar", "host": host, "password": "APITOKEN", "extra": extra}
        return json.dumps(document)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, PageServer)
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        server.asked.append(query)
        pages = server.pages.get(query.get("type", query.get("sale_date", [""]))[0], [[]])
        number = int(query.get("page", ["0"])[0])
        base = self.path.split("&page=")[0]
        next_url = f"{base}&page={number + 1}" if number + 1 < len(pages) else None
        resource = url.path.strip("/").rpartition("/")[2]
        if query.get("format") == ["csv"]:
            body, kind = "".join(f"{line}\r\n" for line in (server.header, *pages[number])), "text/csv"
        else:
            body, kind = json.dumps({resource: list(pages[number]), "next_url": next_url}), "application/json"
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body.encode())))
        if next_url is not None:
            self.send_header("X-Custobar-Next-Url", next_url)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def serving(pages: Mapping[str, Sequence[Sequence[Row]]], header: str = "") -> Iterator[PageServer]:
    """A server on a free port, stopped at the end."""
    with PageServer(pages, header) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
