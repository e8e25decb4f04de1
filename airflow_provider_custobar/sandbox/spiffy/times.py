"""Times of a store: texts with an offset, as P1's examples have them."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

#: Brisbane, where there is no summer time.
STORE_ZONE = timezone(timedelta(hours=10))
TIMES = ("created_at", "updated_at", "current_sign_in_at", "last_sign_in_at")
_BOUND = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)


def written(moment: datetime) -> str:
    """Write a moment in the store's zone, whole seconds."""
    return moment.astimezone(STORE_ZONE).replace(microsecond=0).isoformat()


def moment_of(value: Any) -> datetime | None:
    """Read a stored time; without an offset it is UTC (P2). None for anything else."""
    return _parsed(value) if isinstance(value, str) else None


@functools.lru_cache(maxsize=100_000)
def _parsed(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def bound(text: str) -> datetime:
    """Read ``YYYY-MM-DD HH:MM`` (P1) as UTC (P2); ValueError for anything else."""
    if not _BOUND.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_utc(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with its times in UTC with Z; what is no time stays."""
    times = {name: moment_of(record.get(name)) for name in TIMES}
    return record | {name: moment.isoformat().replace("+00:00", "Z") for name, moment in times.items() if moment is not None}
