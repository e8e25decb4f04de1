"""Random tenants, records and windows, and what belongs to which window.

What is expected comes from ``zoneinfo`` and ``datetime`` alone; nothing of the code under test is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from hypothesis import strategies as st

DAY = timedelta(days=1)
#: The day that the calendar of Samoa left out when it crossed the date line.
SKIPPED = ("Pacific/Apia", date(2011, 12, 30))

#: Zones with days on which something happens to the clock.
TURNS: dict[str, list[date]] = {
    "Europe/Helsinki": [date(2026, 3, 29), date(2026, 10, 25), date(2025, 10, 26)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "Asia/Kathmandu": [date(1986, 1, 1)],  # half past five became a quarter to six
    "Pacific/Apia": [date(2011, 12, 30), date(2012, 4, 1)],
    "UTC": [date(2024, 2, 29)],
    "America/Sao_Paulo": [date(2018, 11, 4), date(2018, 2, 18)],  # no midnight, and a last hour that comes twice
    "America/Havana": [date(2025, 11, 2), date(2026, 3, 8)],  # midnight comes twice, or not at all
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],  # half an hour
    "Africa/Casablanca": [date(2026, 2, 15), date(2026, 3, 22)],  # summer time stops for Ramadan
    "Asia/Kolkata": [date(2000, 2, 29)],
    "America/Los_Angeles": [date(2026, 3, 8)],
    "Pacific/Kiritimati": [date(1994, 12, 31)],  # left out too
    "Pacific/Honolulu": [date(2026, 1, 1)],
}
YEAR_ENDS = [date(2011, 12, 31), date(2025, 12, 31), date(1999, 12, 31)]
TEXTS = ["", "a,b", "two\nlines", 'a "quoted" word', "cr\r\nlf\rcr", "\u2028", "ä😀", " , ", "\t'"]

_NUDGES = [
    timedelta(0),
    timedelta(microseconds=-1),
    timedelta(microseconds=1),
    timedelta(seconds=-1),
    timedelta(seconds=1, microseconds=500_000),
    timedelta(minutes=-30),
    timedelta(minutes=30),
    timedelta(minutes=59, seconds=59),
    timedelta(hours=-1),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=5, minutes=45),
    timedelta(hours=-11),
    timedelta(hours=14),
    timedelta(hours=-25),
    timedelta(hours=26),
]


@cache
def zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def midnight(day: date, place: tzinfo) -> datetime:
    """The first moment of a local day, in UTC."""
    return datetime.combine(day, time(), place).astimezone(UTC)


@cache
def turns_within(start: datetime, end: datetime, name: str) -> tuple[datetime, ...]:
    """The moments, to the quarter of an hour, at which a zone's clock is turned."""
    quarter = timedelta(minutes=15)
    moments = [start + number * quarter for number in range((end - start) // quarter + 1)]
    return tuple(later for earlier, later in pairwise(moments) if _offset(earlier, name) != _offset(later, name))


@dataclass(frozen=True)
class Raw:
    """One event or one sale's row; ``mark`` is its own."""

    mark: str
    kind: str
    instant: datetime
    text: str


@dataclass(frozen=True)
class Piece:
    """A window as a user writes it, and the test of what belongs to it."""

    arguments: dict[str, Any]
    holds: Callable[[datetime], bool]


@dataclass(frozen=True)
class Scenario:
    """A tenant, what it holds, and a period cut into consecutive pieces; ``whole`` is the uncut period."""

    resource: str
    api_format: str
    tenant_zone: str
    api_zone: str
    style: str
    raws: list[Raw]
    pieces: list[Piece]
    whole: Piece
    fields: tuple[str, ...] | None
    event_types: tuple[str, ...]
    page_size: int
    other_page_size: int
    quirks: dict[str, Any]

    @property
    def timestamp(self) -> str:
        return "date" if self.resource == "events" else "sale_date"

    def read(self, raw: Raw) -> datetime:
        """The instant that the record's timestamp names as the API writes it.

        Without an offset, an hour that comes twice can only be read as the first of the two.
        """
        if self.style != "naive":
            return raw.instant
        here = zone(self.tenant_zone)
        written = raw.instant.astimezone(here).replace(tzinfo=None, fold=0)
        return written.replace(tzinfo=here).astimezone(UTC)

    def expected(self, piece: Piece) -> list[str]:
        wanted = self.event_types if self.resource == "events" else ("",)
        return sorted(raw.mark for raw in self.raws if raw.kind in wanted and piece.holds(self.read(raw)))


def scenarios(resource: str, api_format: str, *, trusted: bool = False) -> st.SearchStrategy[Scenario]:
    """``trusted``: whole days only, in the zone that the API has too."""
    return _scenarios(resource, api_format, trusted)


@st.composite
def _scenarios(draw: st.DrawFn, resource: str, api_format: str, trusted: bool) -> Scenario:
    tenant_zone = draw(st.sampled_from(sorted(TURNS)))
    here = zone(tenant_zone)
    turns = st.sampled_from([*TURNS[tenant_zone], *YEAR_ENDS])
    first = draw(turns | st.dates(date(1985, 1, 1), date(2037, 1, 1))) - draw(st.integers(0, 2)) * DAY
    days = [first + number * DAY for number in range(draw(st.integers(1, 5)))]
    if not exists(days[-1], here):
        days.append(days[-1] + DAY)
    after = days[-1] + DAY
    api_zone = tenant_zone if trusted else _api_zone(draw, tenant_zone, first)
    styles = ["z", "offset", "naive"] if api_zone == tenant_zone else ["z", "offset"]
    if trusted or draw(st.booleans()):
        pieces, edges = _days(draw, days, tenant_zone)
    else:
        pieces, edges = _instants(draw, days, here)
    ends = {"window_start": days[0].isoformat(), "window_end": after.isoformat()}
    whole = Piece(ends, between(midnight(days[0], here), midnight(after, here)))
    edges += [midnight(day, place) for day in (*days, after) for place in (here, zone(api_zone))]
    edges += turns_within(midnight(days[0], UTC), midnight(after, UTC), tenant_zone)
    return Scenario(
        resource=resource,
        api_format=api_format,
        tenant_zone=tenant_zone,
        api_zone=api_zone,
        style=draw(st.sampled_from(styles)),
        raws=_raws(draw, sorted(set(edges)), resource),
        pieces=pieces,
        whole=whole,
        fields=draw(st.sampled_from(FIELDS[resource])),
        event_types=draw(st.sampled_from([("BROWSE",), ("MAIL_OPEN", "BROWSE")])) if resource == "events" else (),
        page_size=draw(st.integers(1, 6)),
        other_page_size=draw(st.integers(1, 20)),
        quirks=draw(st.sampled_from(QUIRKS)),
    )


FIELDS: dict[str, list[tuple[str, ...] | None]] = {
    "events": [None, ("path", "date"), ("date", "type", "path"), ("path",), ("type", "path", "label")],
    "sales": [None, ("external_id", "sale_date", "product_id"), ("external_id", "product_id"), ("product_id", "total")],
}
QUIRKS: list[dict[str, Any]] = [
    {},
    {"short_pages": True},
    {"empty_last_page": True},
    {"next_url_style": "relative"},
    {"next_url_style": "offset", "csv_line_end": "lf"},
]


def _api_zone(draw: st.DrawFn, tenant_zone: str, around: date) -> str:
    """The tenant's own zone, or any other that is no more than 24 hours away at that time."""
    name = draw(st.just(tenant_zone) | st.sampled_from(sorted(TURNS)))
    for day in (around - 3 * DAY, around + 8 * DAY):
        moment = midnight(day, UTC)
        if abs(_offset(moment, name) - _offset(moment, tenant_zone)) > DAY:
            return tenant_zone
    return name


def _offset(moment: datetime, name: str) -> timedelta:
    offset = moment.astimezone(zone(name)).utcoffset()
    assert offset is not None
    return offset


def exists(day: date, place: tzinfo) -> bool:
    """False for a day that the calendar skipped."""
    return midnight(day, place) < midnight(day + DAY, place)


def _days(draw: st.DrawFn, days: list[date], tenant_zone: str) -> tuple[list[Piece], list[datetime]]:
    here = zone(tenant_zone)
    pieces = []
    for day in days:
        if not exists(day, here):
            continue
        form = draw(st.sampled_from(["text", "date", "pendulum", "ends"]))
        arguments: dict[str, Any] = {
            "text": {"date": f" {day} "},
            "date": {"date": day},
            "pendulum": {"date": pendulum.date(day.year, day.month, day.day)},
            "ends": {"window_start": day.isoformat(), "window_end": day + DAY},
        }[form]
        pieces.append(Piece(arguments, _on(day, here)))
    return pieces, []


def _instants(draw: st.DrawFn, days: list[date], here: ZoneInfo) -> tuple[list[Piece], list[datetime]]:
    cuts: dict[datetime, Any] = {}
    turns = turns_within(midnight(days[0], UTC), midnight(days[-1] + DAY, UTC), here.key)
    for _ in range(draw(st.integers(0, 5))):
        if turns and draw(st.booleans()):
            moment = draw(st.sampled_from(turns)) + draw(st.integers(-8, 8)) * timedelta(minutes=15)
        else:
            moment = midnight(draw(st.sampled_from(days)), here) + timedelta(seconds=draw(st.integers(0, 86_399)))
        form = draw(st.sampled_from(["naive", "naive text", "Z", "offset", "zoneinfo", "pendulum", "other zone"]))
        if form.startswith("naive"):
            # Shifted on the clock's face, so that hours come up that the clock jumps over.
            local = moment.astimezone(here).replace(tzinfo=None) + draw(st.sampled_from([timedelta(0), timedelta(minutes=45)]))
            moment = local.replace(tzinfo=here).astimezone(UTC)
            cuts[moment] = local if form == "naive" else local.isoformat(" ")
            continue
        cuts[moment] = {
            "Z": moment.isoformat().replace("+00:00", "Z"),
            "offset": moment.astimezone(here).isoformat(),
            "zoneinfo": moment.astimezone(here),
            "pendulum": pendulum.instance(moment).in_timezone(here.key),
            "other zone": moment.astimezone(zone("Asia/Kathmandu")).isoformat(),
        }[form]
    first, last = midnight(days[0], here), midnight(days[-1] + DAY, here)
    inner = {moment: value for moment, value in cuts.items() if first < moment < last}
    whole = {first: days[0], **dict(sorted(inner.items())), last: (days[-1] + DAY).isoformat()}
    pieces = [
        Piece({"window_start": whole[start], "window_end": whole[end]}, between(start, end)) for start, end in pairwise(whole)
    ]
    return pieces, list(whole)


def _raws(draw: st.DrawFn, edges: list[datetime], resource: str) -> list[Raw]:
    kinds = ["BROWSE", "MAIL_OPEN", "SENTIMENT"] if resource == "events" else [""]
    parts = st.tuples(st.sampled_from(edges), st.sampled_from(_NUDGES), st.sampled_from(kinds), st.integers(0, len(TEXTS) - 1))
    return [
        Raw(f"m{number}", kind, edge + nudge, TEXTS[text])
        for number, (edge, nudge, kind, text) in enumerate(draw(st.lists(parts, max_size=16)))
    ]


def _on(day: date, place: tzinfo) -> Callable[[datetime], bool]:
    return lambda moment: moment.astimezone(place).date() == day


def between(start: datetime, end: datetime) -> Callable[[datetime], bool]:
    return lambda moment: start <= moment < end
