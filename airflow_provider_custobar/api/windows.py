"""Half-open periods of time, and the timestamps that fall into them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TypeVar

import pendulum
from pendulum.tz.exceptions import InvalidTimezone

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean

DayT = TypeVar("DayT", bound=date)

_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_ONE_DAY = timedelta(days=1)
_FURTHEST_BEHIND = timedelta(hours=-12)
_FURTHEST_AHEAD = timedelta(hours=14)
#: How timestamps are written that :func:`are_inside` compares as texts.
_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(?P<fraction>\d{1,6}))?(?P<offset>Z|[+-]\d\d:\d\d)")
_AS_ZEROS = str.maketrans("123456789", "000000000")
_MOMENT_ACCEPTED = "give a date (2026-02-01), an ISO 8601 datetime (2026-02-01T06:00:00+02:00) or a datetime object"
_DAY_ACCEPTED = 'give one day as YYYY-MM-DD, such as "{{ ds }}"; for other periods use window_start and window_end'


@dataclass(frozen=True)
class Window:
    """The instants from ``start`` up to, but not including, ``end``; both aware, in UTC.

    ``timezone`` is the tenant's zone (an IANA name): it decides what a day is and what a timestamp without an offset means.
    """

    start: datetime
    end: datetime
    timezone: str = "UTC"

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        zone = pendulum.timezone(self.timezone)
        return f"[{self.start.astimezone(zone).isoformat()}, {self.end.astimezone(zone).isoformat()})"

    @property
    def days(self) -> list[date]:
        """The tenant's days that the window touches."""
        zone = pendulum.timezone(self.timezone)
        # Sorted: where the clock falls back behind midnight, a window may end, by the calendar, before it begins.
        ends = (self.start, self.end - timedelta(microseconds=1))
        first, last = sorted(end.astimezone(zone).date() for end in ends)
        return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]

    @property
    def is_whole_days(self) -> bool:
        """True where both ends are the tenant's midnights."""
        zone = pendulum.timezone(self.timezone)
        days = self.days
        return self.start == _midnight(days[0], zone) and self.end == _midnight(days[-1] + _ONE_DAY, zone)

    def days_to_ask_for(self) -> list[date]:
        """All days that a record of the window may be filed under, in whatever zone the API cuts days.

        At least one more than the window's own on either side: nor is it certain that the last day of a range comes whole.
        """
        days = self.days
        first, last = days_anywhere(self.start, self.end - timedelta(microseconds=1))
        first, last = min(first, days[0] - _ONE_DAY), max(last, days[-1] + _ONE_DAY)
        return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]

    @property
    def day_before(self) -> datetime:
        """When the day before the tenant's first one began."""
        return _midnight(self.days[0] - _ONE_DAY, pendulum.timezone(self.timezone))

    @property
    def is_near_a_turn(self) -> bool:
        """Whether the tenant's clock is turned within three days of one of the window's ends."""
        zone = pendulum.timezone(self.timezone)
        hours = [timedelta(hours=hour) for hour in range(-72, 73)]
        return any(len({(end + hour).astimezone(zone).utcoffset() for hour in hours}) > 1 for end in (self.start, self.end))

    def days_before(self, count: int) -> list[Window]:
        """The ``count`` days before this one, oldest first, each a window; for a window of one day.

        A day that the tenant's calendar skipped is left out.
        """
        zone = pendulum.timezone(self.timezone)
        starts = [_midnight(self.days[0] - timedelta(days=back), zone) for back in range(count, -1, -1)]
        return [Window(start, end, self.timezone) for start, end in pairwise(starts) if start < end]


def days_anywhere(first: datetime, last: datetime) -> tuple[date, date]:
    """The earliest day that it is anywhere at one moment, and the latest at another; both in UTC.

    No zone is more than 12 hours behind UTC, nor more than 14 ahead.
    """
    return (first + _FURTHEST_BEHIND).date(), (last + _FURTHEST_AHEAD).date()


def parse_timestamp(text: str, zone: tzinfo) -> datetime:
    """The instant that a record's timestamp names: with ``Z``, an offset or neither, with or without fraction, or a date.

    A timestamp without an offset is read in ``zone``; where the clock is turned back, as the first of the two.

    :raises ValueError: not a timestamp.
    """
    moment = datetime.fromisoformat(text.upper())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def are_inside(texts: Sequence[str], window: Window) -> list[bool] | None:
    """Whether each of the timestamps is in ``window``, at a tenth of the cost of reading them one by one.

    None where only that can tell: texts that are not written alike, with ``Z`` or one and the same offset, as those of one page
    mostly are. Such texts sort as the instants do.
    """
    joined = "".join(texts)
    form = _FORM.fullmatch(texts[0]) if texts and joined.isascii() else None
    if form is None:
        return None
    length, digits = len(texts[0]), len(form["fraction"] or "")
    columns = [joined[place::length] for place in range(length)]
    suffix_begins = form.start("offset")
    is_alike = (
        joined.translate(_AS_ZEROS) == texts[0].translate(_AS_ZEROS) * len(texts)
        and set(map(len, texts)) == {length}
        and all(column == column[0] * len(texts) for column in columns[suffix_begins:])
        and not columns[14].strip("012345")
        and not columns[17].strip("012345")
    )
    if not is_alike:
        return None
    first, last = min(texts), max(texts)
    # Where both are on one day, so are the others, and none of their hours is after the last one's.
    hours = {text[:13] for text in ([first, last] if first[:10] == last[:10] else texts)}
    if any(hour[11:] > "23" for hour in hours):
        return None
    try:
        offset = datetime.fromisoformat(texts[0]).tzinfo
        for day in {hour[:10] for hour in hours}:
            date.fromisoformat(day)
        start, end = (_as_text(moment.astimezone(offset), digits, form["offset"]) for moment in (window.start, window.end))
    except ValueError:
        return None
    return [True] * len(texts) if start <= first and last < end else [start <= text < end for text in texts]


def _as_text(moment: datetime, digits: int, offset: str) -> str:
    """The first text of so many digits after the second whose instant is not before ``moment``."""
    whole = (moment + timedelta(microseconds=10 ** (6 - digits) - 1)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    # Years below 1000 have no leading zeros there.
    return f"{whole.zfill(26)[: 20 + digits if digits else 19]}{offset}"


def check_timezone(argument: str, name: object) -> str:
    """The one name of an IANA time zone; UTC is known in any case.

    :raises InvalidArgumentError: it is none.
    """
    try:
        return pendulum.timezone(str(name)).name
    except (InvalidTimezone, OSError, ValueError):
        hint = did_you_mean(str(name), pendulum.timezones())
        raise InvalidArgumentError(argument, name, f"give an IANA time zone such as Europe/Helsinki.{hint}") from None


def build_window(
    *, date: object = None, window_start: object = None, window_end: object = None, timezone: str = "UTC"
) -> Window | None:
    """The window that the user's arguments name, or None where there are none.

    ``date`` is one tenant-local day; ``window_start`` and ``window_end`` are dates (midnight) or datetimes (naive ones
    are tenant-local).

    :raises InvalidArgumentError: one of them cannot be read, or they do not fit together.
    """
    zone = pendulum.timezone(check_timezone("timezone", timezone))
    if date is not None:
        if window_start is not None or window_end is not None:
            raise InvalidArgumentError("date", date, "give either date, or window_start and window_end, not both")
        day = _day(date)
        start, end = _midnight(day, zone), _midnight(day + _ONE_DAY, zone)
        if start == end:
            raise InvalidArgumentError("date", date, f"that day does not exist in {timezone}")
        return Window(start, end, timezone)
    if window_start is None and window_end is None:
        return None
    if window_start is None or window_end is None:
        missing = "window_start" if window_start is None else "window_end"
        raise InvalidArgumentError(missing, None, f"give both ends of the window. {_MOMENT_ACCEPTED}")
    start, end = parse_moment("window_start", window_start, zone), parse_moment("window_end", window_end, zone)
    if end == start:
        raise InvalidArgumentError(
            "window_end",
            window_end,
            "the window is empty because it ends where it starts. Airflow 3's @daily has a data interval of zero length"
            ' by default: use date="{{ ds }}", or a CronDataIntervalTimetable',
        )
    if end < start:
        raise InvalidArgumentError("window_end", window_end, f"it must be later than window_start={window_start!s}")
    return Window(start, end, timezone)


def _midnight(day: date, zone: tzinfo) -> datetime:
    # fold=0 is the first of two midnights; where midnight is skipped it names the instant of the change.
    return datetime(day.year, day.month, day.day, tzinfo=zone, fold=0).astimezone(UTC)


def _day(value: object) -> date:
    day: date | None = None
    if isinstance(value, date) and not isinstance(value, datetime):
        day = value
    elif isinstance(value, str) and _DAY.match(value.strip()):
        try:
            day = date.fromisoformat(value.strip())
        except ValueError as error:
            raise InvalidArgumentError("date", value, f"there is no such day; {_DAY_ACCEPTED}") from error
    if day is None:
        raise InvalidArgumentError("date", value, _DAY_ACCEPTED)
    return _within_calendar("date", day)


def _within_calendar(argument: str, value: DayT) -> DayT:
    # A year off either end, so that neighbouring days and other zones stay in Python's calendar.
    if not date.min.year < value.year < date.max.year:
        raise InvalidArgumentError(argument, str(value), "give a date from the years 2 to 9998")
    return value


def parse_moment(argument: str, value: object, zone: tzinfo) -> datetime:
    """An argument as the instant that it names, a datetime of the standard library in UTC: a date is its midnight, and what has
    no offset is local to ``zone``.

    :raises InvalidArgumentError: it is none.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            value = date.fromisoformat(text) if _DAY.match(text) else datetime.fromisoformat(text)
        except ValueError as error:
            raise InvalidArgumentError(argument, text, _MOMENT_ACCEPTED) from error
    if isinstance(value, date):
        _within_calendar(argument, value)
    if isinstance(value, datetime):
        instant = (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
        # Airflow gives pendulum's, whose differences do not reckon with the standard library's: nothing behind here meets them.
        return datetime.combine(instant, instant.time(), UTC)
    if isinstance(value, date):
        return _midnight(value, zone)
    raise InvalidArgumentError(argument, value, _MOMENT_ACCEPTED)
