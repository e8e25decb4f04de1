"""Flows driven by hand, both clients behind one face, and somebody else's server."""

from __future__ import annotations

import asyncio
import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_custobar.api.async_client import AsyncCustobarClient
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.flow import FlowContext, Outcome, Pacer, Request, Wait
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.responses import Response
from airflow_provider_custobar.watch.event_check import EventCheck, EventsFound, check_events

TOKEN = "APISECRETSECRETSECRETSECRETSECRETSECRET1"


class Answers:
    """Makes replies as the documentation shows them."""

    @staticmethod
    def page(resource: str, rows: Iterable[object], next_url: str | None = None) -> Response:
        body: dict[str, object] = {resource: list(rows)}
        if next_url is not None:
            body["next_url"] = next_url
        return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())

    @staticmethod
    def csv(text: str, next_url: str | None = None) -> Response:
        headers = {"content-type": "text/csv; charset=utf-8"}
        if next_url is not None:
            headers["x-custobar-next-url"] = next_url
        return Response(200, headers, text.encode())

    @staticmethod
    def error(status: int, reason: str = "Because.", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(status, named, json.dumps({"error": {"reason": reason}}).encode())

    @staticmethod
    def redirect(location: str, status: int = 302) -> Response:
        return Response(status, {"location": location}, b"")

    @staticmethod
    def raw(body: bytes, status: int = 200, content_type: str = "application/json") -> Response:
        return Response(status, {"content-type": content_type}, body)


class FlowRunner:
    """A driver whose clock moves only when a flow waits, or by ``latency`` for each request."""

    def __init__(self, config: ClientConfig, *, chance: float = 0.5, latency: float = 0.0) -> None:
        self.config = config
        self.now = 1_000_000.0
        self.latency = latency
        self.started: list[float] = []
        self.sent: list[Request] = []
        self.waits: list[Wait] = []
        self.pages: list[Any] = []
        self.context = FlowContext(config, Pacer(config.requests_per_minute), lambda: self.now, lambda: chance)

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.sent]

    @property
    def explained(self) -> list[Wait]:
        """The waits that are more than ordinary pacing."""
        return [wait for wait in self.waits if wait.reason]

    def run(self, steps: Any, answers: Iterable[Outcome] | Callable[[Request], Outcome]) -> Any:
        answer = answers if callable(answers) else iter(answers)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value
            outcome = None
            if isinstance(step, Request):
                self.started.append(self.now)
                self.sent.append(step)
                outcome = answer(step) if callable(answer) else next(answer)
                self.now += self.latency
            elif isinstance(step, Wait):
                self.waits.append(step)
                self.now += step.seconds
            else:
                self.pages.append(step)


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def make_config() -> Callable[..., ClientConfig]:
    """A connection to https://acme.custobar.com with a token; keyword arguments are extras."""

    def make(host: str = "acme", password: str = TOKEN, login: str | None = None, **extra: object) -> ClientConfig:
        return config_from_connection(host=host, password=password, login=login, extra=extra)

    return make


@pytest.fixture
def make_runner(make_config: Callable[..., ClientConfig]) -> Callable[..., FlowRunner]:
    def make(*, chance: float = 0.5, latency: float = 0.0, **config: Any) -> FlowRunner:
        return FlowRunner(make_config(**config), chance=chance, latency=latency)

    return make


@pytest.fixture
def answers() -> type[Answers]:
    return Answers


class SyncUnderTest:
    """The synchronous client with a list for a sleep, and a clock that only sleeping moves."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self.slept: list[float] = []

    @property
    def long_waits(self) -> list[float]:
        """The waits that are no ordinary pacing."""
        return [seconds for seconds in self.slept if seconds > 0.01]

    def _clock(self) -> float:
        return sum(self.slept)

    def pages(self, query: Query, after: Position | None = None) -> list[Page]:
        with CustobarClient(self.config, sleep=self.slept.append, clock=self._clock) as client:
            return list(client.pages(query, after=after))

    def check(self, check: EventCheck) -> EventsFound:
        with CustobarClient(self.config, sleep=self.slept.append, clock=self._clock) as client:
            return client.exchange(partial(check_events, check=check, now=datetime.now(UTC)))


class AsyncUnderTest(SyncUnderTest):
    """The asynchronous client, the same."""

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def pages(self, query: Query, after: Position | None = None) -> list[Page]:
        async def run() -> list[Page]:
            async with AsyncCustobarClient(self.config, sleep=self._sleep, clock=self._clock) as client:
                return [page async for page in client.pages(query, after=after)]

        return asyncio.run(run())

    def check(self, check: EventCheck) -> EventsFound:
        async def run() -> EventsFound:
            async with AsyncCustobarClient(self.config, sleep=self._sleep, clock=self._clock) as client:
                return await client.exchange(partial(check_events, check=check, now=datetime.now(UTC)))

        return asyncio.run(run())


@pytest.fixture(params=[SyncUnderTest, AsyncUnderTest], ids=["sync", "async"])
def make_any_client(request: pytest.FixtureRequest) -> Callable[..., SyncUnderTest]:
    """A client for a URL and a token; keyword arguments are the connection's extras."""

    def make(url: str, token: str = "APITOKEN", login: str | None = None, **extra: object) -> SyncUnderTest:
        extra = {"requests_per_minute": 1_000_000, "timeout": 10, **extra}
        client: SyncUnderTest = request.param(config_from_connection(host=url, login=login, password=token, extra=extra))
        return client

    return make


class RecordingServer(ThreadingHTTPServer):
    """Somebody else's server: answers with the bodies given, then with empty pages; keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.encoding = "identity"
        super().__init__(("127.0.0.1", 0), _RecordingHandler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{self.host}"


class _RecordingHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, RecordingServer)
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.server.paths.append(self.path)
        body = self.server.bodies.pop(0) if self.server.bodies else b'{"customers":[],"events":[]}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", self.server.encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def elsewhere() -> Iterator[RecordingServer]:
    with RecordingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class RawServer(socketserver.ThreadingTCPServer):
    """Answers each request with the next of ``answers``, byte for byte; the last one again and again.

    The connection ends after each answer, with ``goodbye`` after a moment, unless ``keeps_open``. ``paths`` are those asked
    for; ``heads`` the requests' own.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.heads: list[str] = []
        self.keeps_open = False
        self.goodbye = b""
        self.said_goodbye = threading.Event()
        super().__init__(("127.0.0.1", 0), _RawHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]


class _RawHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, RawServer)
        while head := self._read_head():
            length = re.search(r"(?im)^content-length: *(\d+)", head)
            self.rfile.read(int(length[1]) if length else 0)
            server.heads.append(head)
            answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            self.wfile.write(answer.replace(b"Connection: close\r\n", b"") if server.keeps_open else answer)
            if not server.keeps_open:
                if server.goodbye:
                    time.sleep(0.05)
                    self.wfile.write(server.goodbye)
                    server.said_goodbye.set()
                return

    def _read_head(self) -> str:
        """The next request's lines; none where the client has hung up."""
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b"", b"\r\n"):
            lines.append(line)
        return b"".join(lines).decode()


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    with RawServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
