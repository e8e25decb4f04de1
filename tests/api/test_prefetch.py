"""The next page asked for while the present one arrives: when, how fast, how often; and that nothing is left behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from tools.waiting import wait_until

QUERY = build_query("customers")


def until(true: Callable[[], bool]) -> bool:
    return wait_until("the client has done so", true, every_seconds=0.002)


class Pages(ThreadingHTTPServer):
    """Page n holds customers 2n and 2n + 1. It sends heads at once, and holds back bodies, breaks and lies as it is told."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.count = 4
        self.names_next_in_head = True
        self.names_next_in_body = True
        #: Page number -> whose body waits for the event.
        self.held: dict[int, threading.Event] = defaultdict(threading.Event)
        self.holding: set[int] = set()
        #: Page number -> what happens to each request for it in turn; then all is well.
        self.faults: dict[int, list[str]] = defaultdict(list)
        self.arrivals: list[tuple[float, int]] = []
        self.targets: list[str] = []
        self.open: set[socket.socket] = set()

    @property
    def asked(self) -> list[int]:
        return [number for _, number in self.arrivals]

    def hold(self, *numbers: int) -> None:
        self.holding.update(numbers)

    def release(self) -> None:
        for number in self.holding:
            self.held[number].set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Pages

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        server = self.server
        number = int(self.path.partition("?p=")[2].partition("&")[0] or 0)
        fault = server.faults[number].pop(0) if server.faults[number] else ""
        server.targets.append(self.path)
        server.arrivals.append((time.monotonic(), number))
        if fault == "drop":
            self.close_connection = True
            return
        if fault[:3] in ("429", "503", "401", "302"):
            self.send_response(int(fault[:3]))
            if fault == "429 in 7":
                self.send_header("Retry-After", "7")
            if fault == "302":
                self.send_header("Location", f"/moved/?p={number}")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            return
        following = f"/data/?p={number + 1}" if number + 1 < server.count else None
        page: dict[str, object] = {"customers": [{"external_id": str(2 * number + extra)} for extra in (0, 1)]}
        if following and server.names_next_in_body:
            page["next_url"] = following
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", f"visit{len(server.arrivals)}=1")
        self.send_header("Content-Length", str(len(body)))
        if following and server.names_next_in_head:
            wrong = {
                "lie": f"{following}&wrong",
                "foreign": "http://127.0.0.2:1/",
                "repeat": self.path,
                "broken": "http://[::1",
            }
            self.send_header("X-Custobar-Next-Url", wrong.get(fault, following))
        self.end_headers()
        self.wfile.flush()
        if number in server.holding:
            server.held[number].wait(10)
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class Turns:
    """Counts what is taken; after ``most``, ``take`` fails or waits until more are given."""

    def __init__(self, most: int = 1000, error: Exception | None = None) -> None:
        self.taken = 0
        self.events: list[str] = []
        self._error = error
        self._left = threading.Semaphore(most)

    def take(self) -> None:
        if not self._left.acquire(timeout=None if self._error is None else 0):
            assert self._error is not None
            raise self._error
        self.taken += 1
        self.events.append("take")

    def give(self, count: int = 1) -> None:
        self._left.release(count)


@pytest.fixture
def server() -> Iterator[Pages]:
    with Pages() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release()
        server.shutdown()
        thread.join()


@pytest.fixture
def make_client(server: Pages) -> Iterator[Callable[..., CustobarClient]]:
    clients: list[CustobarClient] = []

    def make(sleep: Callable[[float], object] | None = None, **extra: Any) -> CustobarClient:
        extra = {"requests_per_minute": 1_000_000, "timeout": 5, **extra}
        config = config_from_connection(host=server.url, password="APITOKEN", extra=extra)
        clients.append(CustobarClient(config, sleep=sleep))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


class Reader(threading.Thread):
    """Reads pages to their end in a thread of its own."""

    def __init__(self, pages: Iterator[Page]) -> None:
        super().__init__(daemon=True)
        self.pages: list[Page] = []
        self.error: BaseException | None = None
        self._source = pages
        self.start()

    def run(self) -> None:
        try:
            for page in self._source:
                self.pages.append(page)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def done(self) -> list[str]:
        self.join(10)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return ids(self.pages)


def ids(pages: list[Page]) -> list[str]:
    return [record["external_id"] for page in pages for record in page.dicts()]


def everybody(server: Pages) -> list[str]:
    return [str(number) for number in range(2 * server.count)]


def threads() -> int:
    return sum(thread.name == "custobar-next-page" for thread in threading.enumerate())


def test_the_next_page_is_asked_for_while_the_body_is_awaited(
    server: Pages, make_client: Callable[..., CustobarClient]
) -> None:
    """Rule: the head of a page is enough to ask for the next one; but one is the most that is ahead."""
    server.hold(0)
    turns = Turns()
    reader = Reader(make_client().pages(QUERY, turns=turns))
    assert until(lambda: server.asked == [0, 1])
    time.sleep(0.1)
    assert server.asked == [0, 1]
    assert reader.pages == []
    assert turns.taken == 2
    server.release()
    assert reader.done() == everybody(server)
    assert server.asked == [0, 1, 2, 3]
    assert turns.taken == 4
    assert until(lambda: threads() == 0)


def test_without_turns_one_thing_comes_after_the_other(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: who does not ask for it gets no early requests, and no thread."""
    server.hold(0)
    reader = Reader(make_client().pages(QUERY))
    assert until(lambda: server.asked == [0])
    time.sleep(0.1)
    assert server.asked == [0]
    assert threads() == 0
    server.release()
    assert reader.done() == everybody(server)


def test_without_the_header_one_thing_comes_after_the_other(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: where only the body names the next page, it is asked for when the body is there; turns are taken all the same."""
    server.names_next_in_head = False
    server.hold(0)
    turns = Turns()
    reader = Reader(make_client().pages(QUERY, turns=turns))
    assert until(lambda: server.asked == [0])
    time.sleep(0.1)
    assert server.asked == [0]
    server.release()
    assert reader.done() == everybody(server)
    assert turns.taken == 4


def test_the_header_alone_is_enough(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: as before, a body without next_url goes by the header."""
    server.names_next_in_body = False
    assert Reader(make_client().pages(QUERY, turns=Turns())).done() == everybody(server)
    assert server.asked == [0, 1, 2, 3]


class Recorder:
    """Notes when starts were reserved for, and when requests went out."""

    def __init__(self, client: CustobarClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.planned: list[float] = []
        self.started: list[float] = []
        pacer = client._context.pacer
        self._reserve, self._open = pacer.reserve, client._open
        monkeypatch.setattr(pacer, "reserve", self.reserve)
        monkeypatch.setattr(client, "_open", self.open)

    def reserve(self, now: float) -> float:
        delay = self._reserve(now)
        self.planned.append(now + delay)
        self.events.append("reserve")
        return delay

    def open(self, *args: Any) -> Any:
        self.started.append(time.monotonic())
        self.events.append("send")
        return self._open(*args)


@pytest.mark.parametrize("faults", [{}, {1: ["302"], 2: ["drop", "503"]}], ids=["no faults", "faults"])
def test_the_pace_is_kept(
    server: Pages, make_client: Callable[..., CustobarClient], monkeypatch: pytest.MonkeyPatch, faults: dict[int, list[str]]
) -> None:
    """Rule: early requests count as all others: their starts are 60 / requests_per_minute seconds apart."""
    server.count = 6
    server.faults.update({number: list(kinds) for number, kinds in faults.items()})
    client = make_client(requests_per_minute=600)
    record = Recorder(client, monkeypatch)
    assert Reader(client.pages(QUERY, turns=Turns())).done() == everybody(server)
    assert len(record.started) == len(record.planned) == 6 + sum(map(len, faults.values()))
    planned, started = sorted(record.planned), sorted(record.started)
    assert all(later - earlier > 0.0999 for earlier, later in itertools.pairwise(planned))
    assert all(there > plan - 0.001 for plan, there in zip(planned, started, strict=True))


@pytest.mark.parametrize("in_head", [True, False])
def test_a_start_is_reserved_when_the_turn_is_there(
    server: Pages, make_client: Callable[..., CustobarClient], monkeypatch: pytest.MonkeyPatch, in_head: bool
) -> None:
    """Rule: a long wait for a turn makes no burst: the pace is reserved after it, for early requests and for others."""
    server.names_next_in_head = in_head
    client = make_client()
    record = Recorder(client, monkeypatch)
    turns = Turns(most=1)
    turns.events = record.events
    for _ in client.pages(QUERY, turns=turns):
        time.sleep(0.02)
        turns.give()
    assert record.events == ["take", "reserve", "send"] * 4


@pytest.mark.parametrize("fault", ["cut", "drop", "503", "429 in 7", "429", "302"])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_what_fails_is_asked_for_again(
    server: Pages, make_client: Callable[..., CustobarClient], number: int, fault: str
) -> None:
    """Rule: an early request that fails, or a page that breaks while the next is begun, is repeated; all comes once."""
    server.faults[number] = [fault, fault]
    slept: list[float] = []
    turns = Turns()
    reader = Reader(make_client(slept.append).pages(QUERY, turns=turns))
    assert reader.done() == everybody(server)
    assert Counter(server.asked) == Counter({0: 1, 1: 1, 2: 1, 3: 1}) + Counter({number: 2})
    assert turns.taken == 4, "one a page, none for a retry or a redirect"
    waits = [seconds for seconds in slept if seconds > 0.3]
    if fault == "302":
        assert waits == []
    elif fault.startswith("429"):
        asked_for = 7.0 if fault == "429 in 7" else 60.0
        assert waits.count(asked_for) == 2
        assert max(waits) == asked_for
    else:
        assert len(waits) == 2


def test_a_page_is_fetched_again_while_the_next_is_open(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: a body cut while the next request is begun costs one more request for that page, none for the next."""
    server.hold(1)
    server.faults[1] = ["cut"]
    reader = Reader(make_client(lambda seconds: None).pages(QUERY, turns=Turns()))
    assert until(lambda: server.asked == [0, 1, 2])
    server.release()
    assert reader.done() == everybody(server)
    assert server.asked == [0, 1, 2, 1, 3]


def test_a_refusal_of_the_early_request_pauses_everything(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: after a 429 nothing is sent for as long as the server asked, not even a retry of the page still arriving."""
    server.hold(0)
    server.faults[0], server.faults[1] = ["cut"], ["429 in 7"]
    slept: list[float] = []
    reader = Reader(make_client(slept.append).pages(QUERY, turns=Turns()))
    assert until(lambda: server.asked == [0, 1])
    time.sleep(0.1)
    server.release()
    assert reader.done() == everybody(server)
    assert len([seconds for seconds in slept if seconds > 5]) >= 2


def test_a_final_error_of_an_early_request_surfaces_at_its_place(
    server: Pages, make_client: Callable[..., CustobarClient]
) -> None:
    """Rule: the pages before the one that is refused are handed out."""
    server.faults[2] = ["401"]
    reader = Reader(make_client().pages(QUERY, turns=Turns()))
    with pytest.raises(errors.AuthenticationError):
        reader.done()
    assert ids(reader.pages) == ["0", "1", "2", "3"]
    assert server.asked == [0, 1, 2]


def test_max_attempts_count_the_early_request(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: the early request is the first attempt of its page."""
    server.faults[1] = ["503"] * 10
    reader = Reader(make_client(lambda seconds: None, max_attempts=3).pages(QUERY, turns=Turns()))
    with pytest.raises(errors.ServerError, match="Given up after 3 attempts"):
        reader.done()
    assert server.asked == [0, 1, 1, 1]


def test_the_body_wins_over_the_header(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: where they name different pages, the body's is fetched, no second turn is taken, and the header is not believed
    again."""
    server.faults[0] = ["lie"]
    turns = Turns()
    client = make_client()
    assert Reader(client.pages(QUERY, turns=turns)).done() == everybody(server)
    assert [target for target in server.targets if "wrong" in target] == ["/data/?p=1&wrong"] * (len(server.targets) - 4)
    assert len(server.targets) in (4, 5), "the wrong one may have been dropped before it was sent"
    assert turns.taken == 4
    assert until(lambda: threads() == 0)


@pytest.mark.parametrize("lie", ["foreign", "repeat", "broken"])
def test_a_bad_address_in_the_header_is_not_asked(server: Pages, make_client: Callable[..., CustobarClient], lie: str) -> None:
    """Rule: nothing is sent early to another host or to a page that was there; what is wrong is told in its place."""
    server.names_next_in_body = False
    server.faults[1] = [lie]
    turns = Turns()
    reader = Reader(make_client().pages(QUERY, turns=turns))
    with pytest.raises(errors.ProtocolError):
        reader.done()
    assert server.asked == [0, 1]
    assert ids(reader.pages) == ["0", "1"]
    assert turns.taken == 2


def test_leaving_in_the_middle_leaves_nothing_behind(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: closing the iterator ends the thread and closes the open answer, begun or arrived."""
    server.count = 100
    server.hold(1, 2)
    client = make_client()
    pages = client.pages(QUERY, turns=Turns())
    next(pages)
    assert until(lambda: server.asked == [0, 1])
    assert threads() == 1
    pages.close()  # type: ignore[attr-defined]
    assert until(lambda: threads() == 0)
    server.release()
    assert until(lambda: len(server.open) <= 1), "but for the idle one of the first page"
    assert server.asked == [0, 1]
    client.close()
    assert until(lambda: not server.open)


def test_closing_the_client_leaves_no_connection_open(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: close() ends all connections, idle ones too, even while somebody still holds an iterator in the middle."""
    server.count = 100
    client = make_client()
    pages = client.pages(QUERY, turns=Turns())
    # So that the early request of the third page has a connection of its own.
    server.hold(1)
    next(pages)
    early = threading.Thread(target=lambda: until(lambda: server.asked == [0, 1, 2]) and server.release())
    early.start()
    next(pages)
    early.join()
    assert until(lambda: server.asked == [0, 1, 2])
    client.close()
    assert until(lambda: not server.open)
    with pytest.raises(RuntimeError, match="closed"):
        next(pages)
    assert server.asked == [0, 1, 2]


@pytest.mark.parametrize("way", ["iterator", "client"])
def test_the_wait_for_the_pace_is_cut_short(server: Pages, make_client: Callable[..., CustobarClient], way: str) -> None:
    """Rule: a request that waits for its pace is given up at once when nobody wants it any more."""
    client = make_client(requests_per_minute=1)
    pages = client.pages(QUERY, turns=Turns())
    next(pages)
    assert threads() == 1
    if way == "iterator":
        pages.close()  # type: ignore[attr-defined]
    else:
        client.close()
    assert until(lambda: threads() == 0)
    assert server.asked == [0]


@pytest.mark.parametrize("waits_for", ["head", "turn", "pace"])
def test_closing_the_client_ends_a_reader_that_waits(
    server: Pages, make_client: Callable[..., CustobarClient], monkeypatch: pytest.MonkeyPatch, waits_for: str
) -> None:
    """Rule: close() from another thread wakes a reader that waits for an early request, and nothing more is sent."""
    turns = Turns(most=1 if waits_for == "turn" else 10)
    client = make_client(requests_per_minute=1 if waits_for == "pace" else 1_000_000)
    quiet = threading.Event()
    if waits_for == "head":
        opened = client._open

        def slowly(*args: Any) -> Any:
            if server.arrivals:
                quiet.wait(5)
            return opened(*args)

        monkeypatch.setattr(client, "_open", slowly)
    reader = Reader(client.pages(QUERY, turns=turns))
    assert until(lambda: len(reader.pages) == 1 and threads() == 1)
    time.sleep(0.05)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        reader.done()
    quiet.set()
    turns.give(5)
    assert until(lambda: threads() == 0)
    assert len(reader.pages) == 1
    assert until(lambda: not server.open)
    if waits_for != "head":
        assert server.asked == [0]


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_a_turn_that_is_refused_surfaces_at_its_page(
    server: Pages, make_client: Callable[..., CustobarClient], most: int
) -> None:
    """Rule: what take() raises reaches the reader after all pages that had a turn; for later ones nothing is sent."""
    reader = Reader(make_client().pages(QUERY, turns=Turns(most, EnoughError())))
    with pytest.raises(EnoughError):
        reader.done()
    assert len(reader.pages) == most
    assert server.asked == list(range(most))


def test_a_turn_that_is_refused_does_not_matter_to_one_who_left(
    server: Pages, make_client: Callable[..., CustobarClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: leaving while the thread waits for a turn is silent, whatever take() does then."""
    turns = Turns(most=1)
    pages = make_client().pages(QUERY, turns=turns)
    next(pages)
    assert threads() == 1
    pages.close()  # type: ignore[attr-defined]
    turns.give()
    assert until(lambda: threads() == 0)
    assert server.asked == [0]
    assert caplog.records == []


def test_one_turn_suffices_for_one_page_at_a_time(server: Pages, make_client: Callable[..., CustobarClient]) -> None:
    """Rule: with a single turn, given back after each page, all goes on, one page at a time."""
    turns = Turns(most=1)
    got: list[Page] = []
    for page in make_client().pages(QUERY, turns=turns):
        assert len(server.asked) == len(got) + 1
        got.append(page)
        turns.give()
    assert ids(got) == everybody(server)


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 429}),
    ("status", {"status": 429, "retry_after": 3}),
    ("status", {"status": 503}),
    ("status", {"status": 500, "body_style": "html"}),
    ("drop", {}),
    ("drop_after", {}),
    ("truncate", {"fraction": 0.5}),
    ("truncate", {"fraction": 0.0}),
    ("slow_body", {"seconds": 0.02, "chunks": 3}),
    ("delay", {"seconds": 0.01}),
    ("html", {}),
    ("bad_utf8", {}),
    ("redirect", {}),
]
SHAPES: list[dict[str, Any]] = [
    {},
    {"next_url_style": "relative"},
    {"next_url_style": "offset"},
    {"gzip_responses": True},
    {"empty_last_page": True, "short_pages": True},
]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_random_faults_change_nothing(custobar_sandbox_factory: Callable[..., CustobarSandbox], block: int) -> None:
    """Rule: whatever an honest network and server do, with and without turns the records are those of an undisturbed run."""
    sandbox = custobar_sandbox_factory(
        SandboxSettings(rate_limit=None, **SHAPES[block % len(SHAPES)]), customers=30, products=10, events=40, sales=30
    )
    config = config_from_connection(host=sandbox.url, password=sandbox.token, extra={"requests_per_minute": 1_000_000})

    def run(query: Query, turns: Turns | None) -> tuple[list[object], int]:
        with CustobarClient(config, sleep=lambda seconds: None) as client:
            pages = list(client.pages(query, turns=turns))
        return [record for page in pages for record in page.dicts()], len(pages)

    for seed in range(10 * block, 10 * block + 10):
        chance = random.Random(seed)
        query = chance.choice(
            [
                build_query("customers", page_size=4),
                build_query("customers", page_size=5, api_format="csv"),
                build_query("events", page_size=3, event_types="BROWSE,MAIL_OPEN,MAIL_CLICK"),
                build_query("sales", page_size=2, window_start="2026-02-10", window_end="2026-02-13"),
            ]
        )
        sandbox.faults.clear()
        undisturbed, count = run(query, None)
        for turns in (None, Turns()):
            sandbox.faults.clear()
            for _ in range(chance.randint(1, 6)):
                kind, details = chance.choice(KINDS)
                sandbox.faults.add(Fault(kind, after=chance.randrange(8), **details))
            assert run(query, turns) == (undisturbed, count), f"seed {seed}"
            if turns is not None:
                assert turns.taken == count
    assert until(lambda: threads() == 0)


def test_a_request_begun_early_keeps_to_a_pause(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: a pause told while the read-ahead waits for its start holds for it, too."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    sandbox.load("customers", [{"external_id": str(number)} for number in range(4)])
    config = config_from_connection(host=sandbox.url, password=sandbox.token, extra={"requests_per_minute": 60})
    pacer = Pacer(60)
    with CustobarClient(config, pacer=pacer) as client:
        pages = client.pages(build_query("customers", page_size=2), turns=Turns())
        next(pages)
        time.sleep(0.2)
        pacer.hold(time.monotonic() + 2)
        next(pages)
    first, second = sandbox.requests
    assert second.at - first.at >= 2
