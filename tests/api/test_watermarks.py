"""New since the last look: each event told once, though nothing tells one event from another."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.watch.newest_first import Moment
from airflow_provider_custobar.watch.watermarks import MOST_KNOWN, NewEvents, Tally, Watermark

SINCE = datetime(2026, 2, 1, 12, tzinfo=UTC)
TEN_YEARS = timedelta(days=3650).total_seconds()


def at(seconds: float) -> datetime:
    return SINCE + timedelta(seconds=seconds)


def through_json(mark: Watermark) -> Watermark:
    return Watermark.from_document(json.loads(json.dumps(mark.as_document())))


class Watcher:
    """Looks at all of a server's events again and again, and keeps nothing but a document in between."""

    def __init__(self, lookback: float) -> None:
        self.lookback = lookback
        self.mark = Watermark.begin(SINCE, timedelta(seconds=lookback))

    def look(self, dates: Sequence[float], now: float, page_size: int = 100) -> NewEvents | None:
        tally = Tally(self.mark, lookback=timedelta(seconds=self.lookback), until=at(now))
        for start in range(0, len(dates), page_size):
            tally.take(Moment(at(date), "") for date in dates[start : start + page_size])
        news, mark = tally.finish()
        self.mark = through_json(mark)
        return news

    def counts(self, rounds: Iterable[Sequence[float]], step: float = 100) -> list[int]:
        """How many news each look brings, ``step`` seconds apart, when these dates arrive before it."""
        there: list[float] = []
        counts = []
        for number, arriving in enumerate(rounds, 1):
            there.extend(arriving)
            news = self.look(there, number * step)
            counts.append(news.count if news else 0)
        return counts


@dataclass(frozen=True)
class Event:
    arrival: int
    date: float


def dates_due(events: list[Event], *, looks: list[float], lookback: float) -> list[list[float]]:
    """For each look, the dates of the events that it ought to tell.

    An event is seen by the first look that finds it there and not dated in the future. It is news if it is no older than
    ``lookback`` before the newest event seen earlier; the first look has none of those, and tells what is dated 0 or later.
    """

    def seen_by(event: Event) -> int:
        return next((look for look, now in enumerate(looks) if look >= event.arrival and event.date < now), len(looks))

    due = []
    for look in range(len(looks)):
        newest = max([0.0, *(event.date for event in events if seen_by(event) < look)])
        oldest = newest - lookback if look else 0.0
        due.append([event.date for event in events if seen_by(event) == look and event.date >= oldest])
    return due


# An arrival, a date in quarters of a second, and how many events. Quarters are exact in floats.
BURSTS = st.tuples(st.integers(0, 6), st.integers(-240, 480).map(lambda quarters: quarters / 4), st.integers(1, 3))


@given(
    bursts=st.lists(BURSTS, max_size=40),
    lookback=st.integers(0, 60),
    step=st.integers(1, 20),
    page_size=st.integers(1, 12),
    seed=st.integers(0, 100),
)
def test_each_event_is_told_exactly_once(
    bursts: list[tuple[int, float, int]], lookback: int, step: int, page_size: int, seed: int
) -> None:
    """Rule: late, early, in bursts or at one moment with others, each event is told by the first look that can see it."""
    events = [Event(arrival, date) for arrival, date, size in bursts for _ in range(size)]
    looks = [float(step * number) for number in range(1, 8)]
    watcher = Watcher(lookback)
    for look, due in enumerate(dates_due(events, looks=looks, lookback=lookback)):
        there = [event.date for event in events if event.arrival <= look]
        random.Random(seed).shuffle(there)
        news = watcher.look(there, looks[look], page_size)
        assert news == (NewEvents(count=len(due), first=at(min(due)), last=at(max(due))) if due else None)
    assert watcher.look([event.date for event in events], looks[-1]) is None


@pytest.mark.parametrize(
    ("lookback", "rounds", "counts"),
    [
        (0, [[], []], [0, 0]),
        (0, [[1, 2], [], [203]], [2, 0, 1]),
        (0, [[5], [5, 5], [5]], [1, 2, 1]),
        (0, [[5], [4]], [1, 0]),
        (10, [[20], [10, 9.999999], [10]], [1, 1, 1]),
        (10, [[20], [150], [140, 139]], [1, 1, 1]),
        (10, [[0, -1, -11], [-1, -10, -11], []], [1, 2, 0]),
        (10, [[50, 150, 99.999999, 100], [], []], [2, 2, 0]),
        (10, [[50, 1e9], [60], [250]], [1, 1, 1]),
        (10, [[40], [40, 41, 40.000001]], [1, 3]),
    ],
    ids=[
        "nothing",
        "in order",
        "more at one moment",
        "late with no lookback",
        "late by just the lookback, and by more",
        "late against the newest event, not the clock",
        "before since: known, not told",
        "of the next moment: told when its time has come",
        "of another century: makes nothing late",
        "a microsecond apart",
    ],
)
def test_what_is_new(lookback: float, rounds: list[list[float]], counts: list[int]) -> None:
    """Rule: what a look tells is what came since the one before, as late as the lookback allows and not from the future."""
    assert Watcher(lookback).counts(rounds) == counts


@pytest.mark.parametrize("lookback", [0, 50, 500])
def test_another_lookback_tells_nothing_twice(lookback: float) -> None:
    """Rule: whoever changes the lookback later hears of nothing again, least of all of what was forgotten."""
    watcher = Watcher(20)
    dates = [float(date) for date in range(100)]
    assert watcher.counts([dates]) == [100]
    watcher.lookback = lookback
    assert watcher.counts([dates, [], [299.0]]) == [0, 0, 1]


def test_events_without_a_moment_are_passed_over() -> None:
    """Rule: what has no readable timestamp is neither told nor remembered."""
    tally = Tally(Watermark.begin(SINCE, timedelta()), lookback=timedelta(), until=at(10))
    tally.take([Moment(None, "yesterday"), Moment(at(1), ""), Moment(None, "")])
    news, mark = tally.finish()
    assert news == NewEvents(count=1, first=at(1), last=at(1))
    assert mark == Watermark(at=at(1), floor=at(1), known={at(1): 1})


def test_deleted_events_make_no_news() -> None:
    """Rule: where events disappear, as after a request to be forgotten, nothing is told, and the next one still is."""
    watcher = Watcher(50)
    found = [watcher.look(dates, 100) for dates in ([10, 10, 20], [10, 20], [10], [10, 10])]
    assert [news.count if news else 0 for news in found] == [3, 0, 0, 1]


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize("moments", [MOST_KNOWN + 1, 2 * MOST_KNOWN + 1, 3 * MOST_KNOWN])
def test_memory_is_bounded(moments: int, order: str) -> None:
    """Rule: of more moments than can be kept the newest are remembered; what is older tells nothing, nothing comes twice."""
    dates = [float(date) for date in range(moments)]
    if order == "descending":
        dates.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(dates)
    watcher = Watcher(TEN_YEARS)
    assert watcher.look(dates, moments) == NewEvents(count=moments, first=at(0), last=at(moments - 1))
    assert len(watcher.mark.known) == MOST_KNOWN
    assert len(json.dumps(watcher.mark.as_document())) < 64 * 1024
    assert watcher.look(dates, moments) is None
    oldest_known = moments - MOST_KNOWN
    dates += [oldest_known - 0.5, oldest_known, oldest_known + 0.5, moments]
    assert watcher.look(dates, moments + 1) == NewEvents(count=3, first=at(oldest_known), last=at(moments))
    assert watcher.look(dates, moments + 1) is None


def test_a_short_lookback_holds_though_more_could_be_kept() -> None:
    """Rule: what is older than the lookback is forgotten and tells nothing, however many moments a look brings."""
    watcher = Watcher(100)
    dates = [float(date) for date in range(MOST_KNOWN + 500)]
    assert watcher.counts([dates, [MOST_KNOWN + 399.5, MOST_KNOWN + 398.5]], step=MOST_KNOWN + 500) == [MOST_KNOWN + 500, 1]
    assert len(watcher.mark.known) == 102


def test_the_document_of_a_long_lookback_is_small_enough_for_airflow() -> None:
    """Rule: however far apart the moments and however many events at each, a document stays below Airflow's 64 KB."""
    known = {at(-number * TEN_YEARS / MOST_KNOWN - 1e-6): 1_000_000 for number in range(MOST_KNOWN)}
    mark = Watermark(at=SINCE, floor=at(-TEN_YEARS), known=known)
    assert len(json.dumps(mark.as_document())) < 64 * 1024
    assert through_json(mark) == mark


MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(at=MOMENTS, floor=MOMENTS, known=st.dictionaries(MOMENTS, st.integers(1, 10**9), max_size=20), is_baseline=st.booleans())
def test_a_watermark_survives_json(at: datetime, floor: datetime, known: dict[datetime, int], *, is_baseline: bool) -> None:
    """Rule: a watermark stored as JSON comes back as it was, to the microsecond."""
    mark = Watermark(at=at, floor=floor, known=known, is_baseline=is_baseline)
    assert through_json(mark) == mark


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
TIMES = (
    JSON | MOMENTS.map(datetime.isoformat) | st.sampled_from(["0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"])
)
ALMOST = st.fixed_dictionaries(
    {"at": TIMES, "floor": TIMES, "known": JSON | st.lists(st.tuples(SCALARS, SCALARS), max_size=3)},
    optional={"is_baseline": JSON},
)


@given(document=JSON | ALMOST)
def test_any_json_is_a_watermark_or_a_value_error(document: Any) -> None:
    """Rule: whatever stands in the store, reading it gives a watermark that can be stored again, or raises ValueError."""
    try:
        mark = Watermark.from_document(document)
    except ValueError:
        return
    assert through_json(mark) == mark


@pytest.mark.parametrize(
    "change",
    [
        {"at": None},
        {"at": "yesterday"},
        {"at": 1_770_000_000},
        {"floor": ""},
        {"known": None},
        {"known": 7},
        {"known": [[1]]},
        {"known": [[1, 2, 3]]},
        {"known": [["1", 2]]},
        {"known": [[1, None]]},
        {"known": [[1e300, 1]]},
        {"known": {"10": 1}},
    ],
    ids=str,
)
def test_what_is_no_watermark_is_refused(change: dict[str, Any]) -> None:
    """Rule: a document of which any part is missing or of another kind raises ValueError."""
    document = Watermark(at=SINCE, floor=at(-10), known={at(-5): 2}).as_document()
    with pytest.raises(ValueError, match=r"."):
        Watermark.from_document({**document, **change})
    for name in change:
        with pytest.raises(ValueError, match=f"no watermark .*{name}"):
            Watermark.from_document({key: value for key, value in document.items() if key != name})
