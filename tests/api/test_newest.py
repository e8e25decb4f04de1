"""Events newest first: read no further back than needed, and nothing missed where the server sorts in its own way."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_custobar.api.async_client import AsyncCustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from airflow_provider_custobar.watch.newest_first import Moment, moments, newest_first

FLOOR = datetime(2026, 2, 1, tzinfo=UTC)
WINDOW = Window(FLOOR, FLOOR + timedelta(hours=1))


def at(seconds: int) -> datetime:
    return FLOOR + timedelta(seconds=seconds)


def texts(seconds: Iterable[int]) -> list[str]:
    return [at(second).isoformat() for second in seconds]


def events_query(**arguments: Any) -> Query:
    return newest_first(build_query("events", event_types="BROWSE", fields=("type", "date"), **arguments), WINDOW)


def read(runner: Any, answers: Any, pages: list[list[Any]], *, keep_unplaceable: bool = False) -> list[Moment]:
    """What comes of a server that has ``pages`` of dates, when everything since FLOOR is wanted."""
    script = [
        answers.page("events", [{"date": date} for date in page], f"?page={number}" if number < len(pages) else None)
        for number, page in enumerate(pages, 1)
    ]
    runner.run(moments(runner.context, events_query(), down_to=FLOOR, keep_unplaceable=keep_unplaceable), script)
    return [moment for page in runner.pages for moment in page]


def in_pages(dates: list[str], size: int) -> list[list[str]]:
    return [dates[start : start + size] for start in range(0, len(dates), size)]


@pytest.mark.parametrize(
    ("newest", "requests"),
    [(9, 5), (40, 5), (48, 5), (49, 6), (70, 8), (78, 8), (79, 9)],
)
def test_reading_ends_below_the_floor(make_runner: Callable[..., Any], answers: Any, newest: int, requests: int) -> None:
    """Rule: after fifty events in falling order, the first page that ends before the floor is the last one asked for."""
    runner = make_runner()
    found = read(runner, answers, in_pages(texts(range(newest, newest - 100, -1)), 10))
    assert len(runner.sent) == requests
    assert [moment.at for moment in found] == [at(second) for second in range(newest, newest - 10 * requests, -1)]


@pytest.mark.parametrize(
    "seconds",
    [
        [*range(-60, 40)],
        random.Random(1).sample(range(-60, 40), 100),
        [-5] * 100,
        [*range(60, 10, -1), *range(12, -38, -1)],
        [*range(60, 15, -1), *range(40, -15, -1)],
        [*range(-1, -50, -1), 50, *range(-50, -100, -1)],
    ],
    ids=["ascending", "shuffled", "all equal", "rise between pages", "rise within a page", "one late among the old"],
)
def test_an_order_of_the_servers_own_is_read_to_the_end(
    make_runner: Callable[..., Any], answers: Any, seconds: list[int]
) -> None:
    """Rule: where the order asked for does not hold, every page is read."""
    runner = make_runner()
    found = read(runner, answers, in_pages(texts(seconds), 10))
    assert len(runner.sent) == 10
    assert [moment.at for moment in found] == [at(second) for second in seconds]


def test_few_events_prove_no_order(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: an old event on a short page ends nothing, nor does an empty page: newer ones may follow."""
    runner = make_runner()
    found = read(runner, answers, [[], texts([3, -1]), [], texts(range(-2, -30, -1)), [], texts([7])])
    assert len(runner.sent) == 6
    assert found[-1].at == at(7)


ORDERS: dict[str, Callable[[list[int], random.Random], list[int]]] = {
    "as asked": lambda seconds, _: sorted(seconds, reverse=True),
    "ascending": lambda seconds, _: sorted(seconds),
    "by something else": lambda seconds, chance: chance.sample(sorted(set(seconds)), len(set(seconds))),
    "newest late": lambda seconds, _: (
        sorted((s for s in seconds if s >= 0), key=lambda s: (s > 20, -s)) + sorted((s for s in seconds if s < 0), reverse=True)
    ),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.sampled_from(sorted(ORDERS)),
    count=st.integers(0, 200),
    span=st.integers(1, 300),
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    seed=st.integers(0, 10_000),
)
def test_nothing_since_the_floor_is_missed(
    make_runner: Callable[..., Any], answers: Any, *, order: str, count: int, span: int, sizes: list[int], seed: int
) -> None:
    """Rule: whatever the pages and the order in them, each event at or after the floor comes, once, as the server sent it."""
    chance = random.Random(seed)
    seconds = ORDERS[order]([chance.randint(-span, span) for _ in range(count)], chance)
    remaining = iter(seconds)
    pages = [texts(itertools.islice(remaining, size)) for size in sizes]
    pages.append(texts(remaining))
    found = [moment.at for moment in read(make_runner(requests_per_minute=100_000), answers, pages)]
    assert found == [at(second) for second in seconds[: len(found)]]
    assert not [second for second in seconds[len(found) :] if second >= 0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (5, ""),
        ({"at": "2026-02-01"}, ""),
        ("", ""),
        ("yesterday", "yesterday"),
        ("2026-02-30T10:00:00Z", "2026-02-30T10:00:00Z"),
        ("0001-01-01T00:00:00+10:00", "0001-01-01T00:00:00+10:00"),
    ],
)
def test_an_event_without_a_readable_date_fails_or_is_kept(
    make_runner: Callable[..., Any], answers: Any, value: object, text: str
) -> None:
    """Rule: an event that nobody can place fails with its number in the series, or comes without a moment where wanted."""
    pages: list[list[Any]] = [texts([2]), [*texts([1]), value], texts([0])]
    with pytest.raises(ProtocolError, match="Record 3 of events BROWSE"):
        read(make_runner(), answers, pages)
    found = read(make_runner(), answers, pages, keep_unplaceable=True)
    assert found[2] == Moment(None, text)
    assert [moment.at for moment in found] == [at(2), at(1), None, at(0)]


def test_unreadable_dates_neither_end_nor_prolong_the_reading(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: events without a moment say nothing about the order, so they are no evidence for it and none against it."""
    runner = make_runner()
    read(runner, answers, in_pages([*["?"] * 60, *texts([5, -5]), *["?"] * 8], 10), keep_unplaceable=True)
    assert len(runner.sent) == 7
    runner = make_runner()
    dates = [date for pair in zip(texts(range(20, -80, -1)), ["?"] * 100, strict=True) for date in pair]
    read(runner, answers, in_pages(dates, 20), keep_unplaceable=True)
    assert len(runner.sent) == 5


def test_moments_are_told_in_utc_and_as_they_were_written(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a date without an offset is one of the tenant's time zone; the text stays as the API wrote it."""
    written = ["2026-02-01T02:00:00", "2026-02-01t01:00:00+02:00", "2026-02-01"]
    found = read(make_runner(timezone="Europe/Helsinki"), answers, [written])
    assert [moment.text for moment in found] == written
    assert [moment.at for moment in found] == [at(0), at(-3600), at(-7200)]
    assert {moment.at.tzinfo for moment in found if moment.at} == {UTC}


def test_the_days_around_the_window_are_asked_for_newest_first(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: one day more on each side, newest first, beside the query's own filters and page size."""
    runner = make_runner()
    query = events_query(filters={"campaign": "x"}, allow_unknown_names=True, page_size=321)
    runner.run(moments(runner.context, query, down_to=FLOOR), [answers.page("events", [])])
    asked = {name: value for name, (value,) in parse_qs(urlsplit(runner.urls[0]).query).items()}
    assert asked.pop("fields").split(",") == ["type", "date"]
    assert asked == {
        "type": "BROWSE",
        "campaign": "x",
        "limit": "321",
        "order": "-date",
        "date.gte": "2026-01-31",
        "date.lte": "2026-02-02",
    }


def stream_of(client: AsyncCustobarClient, **changes: Any) -> AsyncIterator[list[Moment]]:
    return client.stream(partial(moments, query=events_query(**changes), down_to=FLOOR, keep_unplaceable=True))


@pytest.mark.parametrize(("page_size", "requests"), [(100, 12), (1000, 2), (10_000, 1)])
async def test_the_asynchronous_client_hands_moments_on(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], page_size: int, requests: int
) -> None:
    """Rule: over real sockets, on small pages and on those read beside the event loop, all since the floor come."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    dates = [at(second).strftime("%Y-%m-%dT%H:%M:%SZ") for second in range(-2900, 1100)]
    sandbox.load("events", [{"type": "BROWSE", "date": date, "customer_id": "x"} for date in dates])
    config = config_from_connection(
        host=sandbox.url, password=sandbox.token, extra={"requests_per_minute": 1_000_000, "timeout": 10}
    )
    async with AsyncCustobarClient(config) as client:
        found = [moment async for page in stream_of(client, page_size=page_size) for moment in page]
    assert len(sandbox.requests) == requests
    assert [moment.at for moment in found] == [at(1099 - number) for number in range(min(4000, page_size * requests))]


async def test_the_asynchronous_client_passes_unreadable_dates_on(elsewhere: Any) -> None:
    """Rule: one bad event does not stop a watcher: it comes among the others, without a moment."""
    elsewhere.bodies.append(b'{"events":[{"date":"2026-02-01T00:00:01Z"},{"date":"soon"},{}]}')
    config = config_from_connection(host=elsewhere.url, password="APITOKEN", extra={"timeout": 10})
    async with AsyncCustobarClient(config) as client:
        found = [page async for page in stream_of(client)]
    assert found == [[Moment(at(1), "2026-02-01T00:00:01Z"), Moment(None, "soon"), Moment(None, "")]]


def test_ties_prove_no_order(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a burst at one moment followed by an old event is no evidence that the server sorts."""
    floor = datetime(2026, 2, 1, tzinfo=UTC)
    query = newest_first(build_query("events", event_types="BROWSE"), Window(floor, floor + timedelta(hours=1)))
    runner = make_runner()
    first = [{"date": "2026-02-01T00:10:00Z"}] * 60 + [{"date": "2026-01-31T23:00:00Z"}]
    script = [answers.page("events", first, "?p=1"), answers.page("events", [{"date": "2026-02-01T00:20:00Z"}])]
    runner.run(moments(runner.context, query, down_to=floor), script)
    assert len(runner.sent) == 2
