"""Indexes spread over tenant-local days: index to instant by arithmetic, instant to index by bisection."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.data.mixing import mix
from airflow_provider_custobar.sandbox.instants import start_of_day

_MICROS = 1_000_000


class Timeline:
    """``size`` instants in non-decreasing order, covering ``days`` local days that end with ``end``.

    Days differ in weight (quiet Sundays, lively Fridays, chance), and each index owns a slot of its day in
    which its instant falls, so that order holds without a sort.
    """

    def __init__(self, size: int, *, days: int, end: date, zone: ZoneInfo, seed: int) -> None:
        self._size = size
        self._seed = seed
        first = end - timedelta(days=days - 1)
        calendar = [first + timedelta(days=offset) for offset in range(days + 1)]
        self._starts = [start_of_day(day, zone) // _MICROS for day in calendar]
        # The first index of each day; the last entry is the size.
        self._firsts = list(_shares(size, [_weight(day, seed) for day in calendar[:-1]]))

    def __len__(self) -> int:
        return self._size

    def seconds(self, index: int) -> int:
        """Seconds since 1970 of an index."""
        firsts = self._firsts
        day = bisect_right(firsts, index) - 1
        start, count = self._starts[day], firsts[day + 1] - firsts[day]
        span = self._starts[day + 1] - start
        return start + ((index - firsts[day]) * span + mix(self._seed, index) % span) // count

    def text(self, index: int) -> str:
        """Return the instant of an index as records keep it."""
        return datetime.fromtimestamp(self.seconds(index), UTC).isoformat()[:19] + "Z"

    def between(self, low: int | None, high: int | None) -> range:
        """Indexes whose instant lies in [low, high), both in microseconds since 1970."""
        indexes = range(self._size)
        first = 0 if low is None else bisect_left(indexes, low, key=self._micros)
        last = self._size if high is None else bisect_left(indexes, high, key=self._micros)
        return range(first, max(first, last))

    def _micros(self, index: int) -> int:
        return self.seconds(index) * _MICROS


def _weight(day: date, seed: int) -> int:
    weekday = (10, 10, 10, 11, 13, 9, 7)[day.weekday()]
    return weekday * (85 + mix(seed, day.toordinal()) % 31)


def _shares(size: int, weights: list[int]) -> Iterator[int]:
    total, so_far = sum(weights), 0
    yield 0
    for weight in weights:
        so_far += weight
        yield size * so_far // total
