"""Which events are new since the last look, though the API gives them neither an id nor a time of arrival."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from airflow_provider_custobar.watch.newest_first import Moment

#: So many different moments are remembered of each event type. Some 30 KB of JSON; Airflow advises 64 KB for a state.
MOST_KNOWN = 2000

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """What was seen of the events of one type.

    ``at`` is the moment of the newest one. ``known`` says how many there were at each moment from ``floor`` on: an event that
    arrives late, or at a moment that had others already, is found by the number having grown. Moments are aware, in UTC.
    ``is_baseline``: nothing was seen yet, and what is older than ``at`` will not be news.
    """

    at: datetime
    floor: datetime
    known: Mapping[datetime, int] = field(default_factory=dict)
    is_baseline: bool = False

    @staticmethod
    def begin(since: datetime, lookback: timedelta) -> Watermark:
        """For who has seen nothing, and wants to know of events from ``since`` on."""
        return Watermark(at=since, floor=since - lookback, is_baseline=True)

    def as_document(self) -> dict[str, Any]:
        """As JSON: moments as ISO 8601, those known as microseconds before ``at``."""
        known = sorted(((self.at - moment) // _MICROSECOND, count) for moment, count in self.known.items())
        return {
            "at": self.at.isoformat(),
            "floor": self.floor.isoformat(),
            "known": [list(pair) for pair in known],
            "is_baseline": self.is_baseline,
        }

    @staticmethod
    def from_document(document: Any) -> Watermark:
        """Read what :meth:`as_document` made.

        :raises ValueError: it is something else.
        """
        try:
            stored = msgspec.convert(document, _Stored)
            return Watermark(
                at=stored.at.astimezone(UTC),
                floor=stored.floor.astimezone(UTC),
                known={stored.at.astimezone(UTC) - before * _MICROSECOND: count for before, count in stored.known},
                is_baseline=stored.is_baseline,
            )
        except (msgspec.ValidationError, OverflowError) as error:
            raise ValueError(f"no watermark ({error})") from error


class _Stored(msgspec.Struct):
    """A watermark as JSON has it."""

    at: Annotated[datetime, msgspec.Meta(tz=True)]
    floor: Annotated[datetime, msgspec.Meta(tz=True)]
    known: list[tuple[int, Annotated[int, msgspec.Meta(ge=1)]]]
    is_baseline: bool


@dataclass(frozen=True, kw_only=True)
class NewEvents:
    """New events of one type: how many, and when the first and the last of them happened."""

    count: int
    first: datetime
    last: datetime


class Tally:
    """Compares one reading of all events from ``before.floor`` on with what was seen before.

    Events at or after ``until`` are left for another time: a wrong clock somewhere may have made one of next year, after which
    everything else would be late. Memory does not grow with the events.
    """

    def __init__(self, before: Watermark, *, lookback: timedelta, until: datetime) -> None:
        self._before = before
        self._lookback = lookback
        self._until = until
        self._at = before.at
        self._floor = before.floor
        self._kept: Counter[datetime] = Counter()
        self._again: Counter[datetime] = Counter()
        self._count = 0
        self._first: datetime | None = None
        self._last: datetime | None = None

    def take(self, moments: Iterable[Moment]) -> None:
        """Count one page's events, in any order."""
        before = self._before
        for moment in moments:
            at = moment.at
            if at is None or not before.floor <= at < self._until:
                continue
            if at in before.known:
                self._again[at] += 1
            elif not before.is_baseline or at >= before.at:
                self._add(at, 1)
            self._at = max(self._at, at)
            if at >= self._floor:
                self._kept[at] += 1
        if len(self._kept) > 2 * MOST_KNOWN:
            self._forget()

    def finish(self) -> tuple[NewEvents | None, Watermark]:
        """What was new, and what is known now."""
        for at, count in self._again.items():
            self._add(at, count - self._before.known[at])
        self._again.clear()
        self._forget()
        news = None
        if self._first is not None and self._last is not None:
            news = NewEvents(count=self._count, first=self._first, last=self._last)
        return news, Watermark(at=self._at, floor=self._floor, known=dict(self._kept))

    def _add(self, at: datetime, count: int) -> None:
        if count > 0:
            self._count += count
            self._first = min(self._first or at, at)
            self._last = max(self._last or at, at)

    def _forget(self) -> None:
        # Never further back than before: what lies there is not known, and would pass for new.
        floor = max(self._floor, self._at - self._lookback)
        if len(self._kept) > MOST_KNOWN:
            floor = max(floor, min(heapq.nlargest(MOST_KNOWN, self._kept)))
        if floor > self._floor:
            self._floor = floor
            self._kept = Counter({at: count for at, count in self._kept.items() if at >= floor})
