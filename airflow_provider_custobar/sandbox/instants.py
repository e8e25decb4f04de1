"""Dates and datetimes as the API reads and writes them (S3, S11, S13; section "time" of the S1 examples).

Stored values are UTC texts ending in Z. What comes in without a zone is in the tenant's zone; an explicit
zone always wins.
"""

from __future__ import annotations

import re
import zlib
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_FAR_WEST = ZoneInfo("America/Los_Angeles")
_PLAIN_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)


def parse_instant(text: str, zone: ZoneInfo) -> datetime:
    """Read a date (its first moment) or an ISO datetime; ValueError if it is neither."""
    value = datetime.fromisoformat(text)
    return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)


def is_plain_date(text: str) -> bool:
    """Tell whether the text is ``YYYY-MM-DD``."""
    return bool(_PLAIN_DATE.match(text))


def stored(instant: datetime) -> str:
    """Write an instant the way records keep it; fractions only where there are any."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def micros(instant: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (instant - _EPOCH) // _MICROSECOND


def stored_micros(text: str) -> int:
    """Microseconds since 1970 of a stored value."""
    return micros(datetime.fromisoformat(text))


def day_bounds(text: str, zone: ZoneInfo) -> tuple[int, int]:
    """First microsecond of the tenant-local day, and of the day after it (23 and 25 hour days included)."""
    day = date.fromisoformat(text)
    return start_of_day(day, zone), start_of_day(day + _DAY, zone)


def start_of_day(day: date, zone: ZoneInfo) -> int:
    """Microseconds since 1970 at the first moment of a local day."""
    return micros(datetime.combine(day, time(), zone).astimezone(UTC))


def shown(text: str, style: str, zone: ZoneInfo) -> str:
    """Rewrite a stored value in another output style: ``naive`` and ``offset`` are tenant-local (C3)."""
    if style == "mixed":
        # By the value itself, so that it is always shown alike.
        style = ("z", "offset", "west")[zlib.crc32(text.encode()) % 3]
        zone = _FAR_WEST if style == "west" else zone
        style = "offset" if style == "west" else style
    if style == "z":
        return text
    local = datetime.fromisoformat(text).astimezone(zone)
    return (local.replace(tzinfo=None) if style == "naive" else local).isoformat()
