"""A Custobar that serves events prepared in memory, so that no measurement waits for pages to be made.

In a process of its own::

    with PageServer([Dataset(rows=1_000_000), Dataset(rows=1_000_000, think_seconds=0.5)]) as servers:
        servers.base_url(dataset)

Each dataset has a port. Rows repeat after ``DISTINCT_ROWS``: five million would not fit into memory, and no contestant
looks at two pages at once. What the provider relies on is as documented: ``next_url`` in JSON bodies and the header
``X-Custobar-Next-Url`` in both formats, on all pages but the last.
"""

from __future__ import annotations

import csv
import http.server
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tools.bench.event_rows import ALL_FIELDS, FIELDS, make_rows

DISTINCT_ROWS = 100_000
PATH = "/api/data/events/"
LARGEST_PAGE = {"json": 10_000, "csv": 100_000}
NEXT_URL_HEADER = "X-Custobar-Next-Url"
TOKEN = "APIBENCHMARKTOKEN"
_DEFAULT_LIMIT = 100
#: The day that is wanted.
DAY = date(2026, 2, 1)
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Dataset:
    """``think_seconds`` pass between a request and its answer's first byte.

    With ``is_day`` these are the rows of each of three days, of which :data:`DAY` is the second; filters of days and
    ``order`` by date are obeyed.
    """

    rows: int
    think_seconds: float = 0.0
    is_day: bool = False


@dataclass(frozen=True)
class Answer:
    """``parts`` are sent one after the other, so that a prepared page is not copied."""

    parts: tuple[bytes, ...]
    content_type: str
    next_query: str | None = None
    status: int = 200


class Pages:
    """Pages by format, first row and length, made when first asked for and kept."""

    def __init__(self, distinct_rows: int = DISTINCT_ROWS) -> None:
        self._distinct = distinct_rows
        self._lock = threading.Lock()
        self._made: dict[tuple[object, ...], bytes] = {}

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        return make_rows(self._distinct)

    def json(self, first: int, count: int, fields: Sequence[str]) -> bytes:
        """Everything of the page but what comes after the last record."""
        return self._kept("json", first, count, fields)

    def csv(self, first: int, count: int, fields: Sequence[str]) -> bytes:
        """A complete CSV file."""
        return self._kept("csv", first, count, fields)

    def of_days(self, dataset: Dataset, page_format: str, numbers: Sequence[int], fields: Sequence[str]) -> bytes:
        """A page of rows of the three days, counted from the first one's midnight on; not kept, since no two are alike."""
        since = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) - timedelta(days=1)
        rows = [
            self._rows[number % self._distinct]
            | {"date": f"{since + timedelta(seconds=number * _DAY_SECONDS // dataset.rows):%Y-%m-%dT%H:%M:%SZ}"}
            for number in numbers
        ]
        return (_json_text if page_format == "json" else _csv_text)(rows, fields).encode()

    def _kept(self, page_format: str, first: int, count: int, fields: Sequence[str]) -> bytes:
        key = (page_format, first % self._distinct, count, tuple(fields))
        with self._lock:
            if key not in self._made:
                rows = [self._rows[number % self._distinct] for number in range(first, first + count)]
                self._made[key] = (_json_text if page_format == "json" else _csv_text)(rows, fields).encode()
            return self._made[key]


def _json_text(rows: list[dict[str, str]], fields: Sequence[str]) -> str:
    asked = rows if len(fields) == len(ALL_FIELDS) else [{name: row[name] for name in fields if name in row} for row in rows]
    return f'{{"events": {json.dumps(asked)}'


def _csv_text(rows: list[dict[str, str]], fields: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(fields), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def answer(pages: Pages, dataset: Dataset, origin: str, query: Mapping[str, str]) -> Answer:
    """Answer a request for events."""
    page_format = query.get("format", "json")
    limit = int(query.get("limit", _DEFAULT_LIMIT))
    if page_format not in LARGEST_PAGE or not 0 < limit <= LARGEST_PAGE[page_format]:
        return Answer((b'{"error": {"reason": "format or limit"}}',), "application/json", status=400)
    fields = query["fields"].split(",") if "fields" in query else ALL_FIELDS
    first = int(query.get("cursor", 0))
    numbers = _numbers(dataset, query)
    count = max(0, min(limit, len(numbers) - first))
    next_query = urlencode({**query, "cursor": first + count}) if first + count < len(numbers) else None
    if dataset.is_day:
        page = pages.of_days(dataset, page_format, numbers[first : first + count], fields)
    else:
        page = (pages.csv if page_format == "csv" else pages.json)(first, count, fields)
    if page_format == "csv":
        return Answer((page,), "text/csv; charset=utf-8", next_query)
    tail = "}" if next_query is None else f', "next_url": "{origin}{PATH}?{next_query}"}}'
    return Answer((page, tail.encode()), "application/json", next_query)


def _numbers(dataset: Dataset, query: Mapping[str, str]) -> range:
    """The rows that are asked for."""
    if not dataset.is_day:
        return range(dataset.rows)
    first, last = (
        (date.fromisoformat(query[name]) - DAY).days + 1 if name in query else default
        for name, default in (("date.gte", 0), ("date.lte", 2))
    )
    numbers = range(max(0, first) * dataset.rows, min(3, last + 1) * dataset.rows)
    return numbers[::-1] if query.get("order") == "-date" else numbers


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != PATH:
            reply = Answer((b'{"error": {"reason": "path"}}',), "application/json", status=404)
        elif TOKEN not in self.headers.get("Authorization", ""):
            reply = Answer((b'{"error": {"reason": "token"}}',), "application/json", status=401)
        else:
            reply = answer(self.server.pages, self.server.dataset, self.server.origin, dict(parse_qsl(url.query)))
        if self.server.dataset.think_seconds:
            time.sleep(self.server.dataset.think_seconds)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(sum(map(len, reply.parts))))
        if reply.next_query is not None:
            self.send_header(NEXT_URL_HEADER, f"{self.server.origin}{PATH}?{reply.next_query}")
        self.end_headers()
        for part in reply.parts:
            self.connection.sendall(part)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, dataset: Dataset, pages: Pages) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dataset = dataset
        self.pages = pages
        self.origin = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that has read enough may go."""


class PageServer:
    """Serves the datasets, each on a port of its own, from one other process."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = list(datasets)
        self._urls: dict[Dataset, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        order = json.dumps([asdict(dataset) for dataset in self._datasets])
        # It ends when its standard input does, so it cannot outlive this process.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.bench.page_server", order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        urls = json.loads(self._process.stdout.readline() or "[]")
        self._urls = dict(zip(self._datasets, urls, strict=True))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def base_url(self, dataset: Dataset) -> str:
        return self._urls[dataset]


def _serve(datasets: Sequence[Dataset]) -> None:
    pages = Pages(min(DISTINCT_ROWS, max(dataset.rows for dataset in datasets)))
    servers = [_Server(dataset, pages) for dataset in datasets]
    for dataset in (each for each in datasets if not each.is_day):
        for query in ({"format": "csv", "limit": "100000", "fields": ",".join(FIELDS)}, {"limit": "10000"}):
            step = int(query["limit"])
            for first in range(0, min(dataset.rows, DISTINCT_ROWS), step):
                answer(pages, dataset, "", {**query, "cursor": str(first)})
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps([server.origin for server in servers]), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve([Dataset(**fields) for fields in json.loads(sys.argv[1])])
