"""Dates and times that databases and libraries write as texts; or what is against them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

#: Reasons against a value, as :class:`Unfit` has them.
DURATION = "holds a duration, which JSON has no form for: make a number or a text of it"
TOO_FINE = "holds a time with digits below a microsecond: round it"
OUT_OF_RANGE = "holds a date that is not within the years 1 to 9999"

_BELOW_MICROSECONDS = re.compile(r"\.[0-9]{6}0*[1-9]")
# Days that are outside of Python's years, days of the same place in a year, and the years on the other side of midnight.
_EDGES = (("10000-01-01 ", "2001-01-01 ", 9999), ("0001-12-31 ", "2000-12-31 ", 1))


@dataclass(frozen=True, slots=True)
class Unfit:
    """What stands in the place of a value that cannot be sent; ``reason`` goes on after the field's name."""

    reason: str
    content: object


def read_date(text: str) -> date | Unfit:
    """A date as databases write it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return Unfit(OUT_OF_RANGE, text)


def read_datetime(text: str) -> datetime | Unfit:
    """A moment as databases write it: ISO 8601, with a space or a T."""
    # Python would cut them off.
    if _BELOW_MICROSECONDS.search(text):
        return Unfit(TOO_FINE, text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _read_edge(text) or Unfit(OUT_OF_RANGE, text)


def _read_edge(text: str) -> datetime | None:
    """A moment of year 1 or 9999 that is in another year where the session is."""
    for day, similar_day, year in _EDGES:
        clock = text.removeprefix(day)
        if clock != text and text.endswith(" BC") == day.startswith("0001"):
            try:
                moment = datetime.fromisoformat(similar_day + clock.removesuffix(" BC"))
            except ValueError:
                return None
            if moment.tzinfo is not None and (there := moment.astimezone(UTC)).day != moment.day:
                return there.replace(year=year)
    return None


def read_time(text: str) -> time | Unfit:
    """A time of day as databases write it."""
    if _BELOW_MICROSECONDS.search(text):
        return Unfit(TOO_FINE, text)
    try:
        # Some versions of Python take it for 00:00.
        return time.fromisoformat(text) if not text.startswith("24") else Unfit("holds the time 24:00", text)
    except ValueError:
        return Unfit("holds a time that is none of a day", text)


def read_duration(text: str) -> Unfit:
    """An interval as databases write it."""
    return Unfit(DURATION, text)
