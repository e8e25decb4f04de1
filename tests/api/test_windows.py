"""Half-open periods, tenant-local days, timestamps of every written form."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pendulum
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.windows import Window, build_window, parse_timestamp

ZONES = [
    "UTC",
    "Europe/Helsinki",
    "America/New_York",
    "America/Sao_Paulo",  # turned the clock at midnight until 2019
    "America/Havana",  # midnight comes twice in November
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
    "America/Los_Angeles",
]
zones = st.sampled_from(ZONES)
days = st.dates(date(1980, 1, 1), date(2037, 12, 30))


def day_window(day: object, zone: str = "UTC") -> Window:
    window = build_window(date=day, timezone=zone)
    assert window is not None
    return window


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("day", "start", "end", "hours"),
    [
        ("2026-02-01", "2026-01-31T22:00:00Z", "2026-02-01T22:00:00Z", 24),
        ("2026-03-29", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z", 23),
        ("2026-10-25", "2026-10-24T21:00:00Z", "2026-10-25T22:00:00Z", 25),
    ],
)
def test_a_day_is_the_tenants_day(day: str, start: str, end: str, hours: int) -> None:
    """Rule: date= is that day in the tenant's zone, 23 or 25 hours long where the clock is turned."""
    window = day_window(day, "Europe/Helsinki")
    assert (window.start, window.end) == (at(start), at(end))
    assert window.end - window.start == timedelta(hours=hours)


def test_a_day_begins_with_the_first_of_two_midnights() -> None:
    """Rule: where the clock is turned back to midnight, the day has 25 hours and holds both; where it is skipped, 23."""
    window = day_window("2025-11-02", "America/Havana")
    assert (window.start, window.end) == (at("2025-11-02T04:00:00Z"), at("2025-11-03T05:00:00Z"))
    window = day_window("2018-11-04", "America/Sao_Paulo")
    assert (window.start, window.end) == (at("2018-11-04T03:00:00Z"), at("2018-11-05T02:00:00Z"))


def test_a_window_is_half_open() -> None:
    """Rule: the start belongs to a window, the end does not."""
    window = day_window("2026-02-01")
    assert window.start in window
    assert window.start - timedelta(microseconds=1) not in window
    assert window.end not in window
    assert window.end - timedelta(microseconds=1) in window


def test_a_day_that_was_skipped_is_refused_and_its_neighbours_touch() -> None:
    """Rule: 2011-12-30 did not exist in Apia; the days around it follow each other without a gap."""
    with pytest.raises(InvalidArgumentError, match=r"2011-12-30.*does not exist in Pacific/Apia"):
        day_window("2011-12-30", "Pacific/Apia")
    before, after = day_window("2011-12-29", "Pacific/Apia"), day_window("2011-12-31", "Pacific/Apia")
    assert before.end == after.start == at("2011-12-30T10:00:00Z")
    assert before.end - before.start == after.end - after.start == timedelta(hours=24)


@given(zone=zones, day=days)
@example(zone="Pacific/Apia", day=date(2011, 12, 29))
@example(zone="America/Sao_Paulo", day=date(2018, 11, 3))
@example(zone="America/Havana", day=date(2025, 11, 1))
def test_consecutive_days_tile_time(zone: str, day: date) -> None:
    """Rule: where one day ends the next begins, so consecutive runs see every instant once."""
    following = day + timedelta(days=1)
    if zone == "Pacific/Apia" and date(2011, 12, 30) in (day, following):
        assume(day != date(2011, 12, 30))
        following += timedelta(days=1)
    first, second = day_window(day, zone), day_window(following, zone)
    assert first.start < first.end == second.start < second.end


@given(zone=zones, moment=st.datetimes(datetime(1980, 1, 2), datetime(2037, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_instant_belongs_to_the_day_that_the_tenants_calendar_shows(zone: str, moment: datetime) -> None:
    """Rule: an instant is in the window of its own local date and in neither neighbour's."""
    local = moment.astimezone(pendulum.timezone(zone)).date()
    assert moment in day_window(local, zone)
    for other in (local - timedelta(days=1), local + timedelta(days=1)):
        if not (zone == "Pacific/Apia" and other == date(2011, 12, 30)):
            assert moment not in day_window(other, zone)


@given(
    zone=zones,
    start=st.datetimes(datetime(1980, 1, 3), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    seconds=st.integers(1, 10 * 86_400),
    share=st.floats(0, 1, exclude_max=True),
    offset=st.integers(-12 * 60, 14 * 60),
)
def test_every_instant_of_a_window_is_asked_for(zone: str, start: datetime, seconds: int, share: float, offset: int) -> None:
    """Rule: whatever zone the API cuts days in, 12 hours behind UTC to 14 ahead, each instant's day is asked for."""
    window = build_window(window_start=start, window_end=start + timedelta(seconds=seconds), timezone=zone)
    assert window is not None
    moment = start + timedelta(seconds=int(seconds * share))
    assert moment in window
    there = moment.replace(tzinfo=None) + timedelta(minutes=offset)
    asked = list(window.days_to_ask_for())
    assert there.date() in asked
    assert asked == sorted(set(asked))
    assert len(asked) <= seconds / 86_400 + 5, "no more days than the window touches, and one on either side"


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        ("2026-02-01", "2026-02-02", ["2026-01-31", "2026-02-01", "2026-02-02"]),
        ("2026-02-01T00:00:00", "2026-02-02T00:00:01", ["2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03"]),
        ("2026-02-01T10:00:00", "2026-02-01T11:00:00", ["2026-01-31", "2026-02-01", "2026-02-02"]),
    ],
)
def test_days_to_ask_for(start: str, end: str, asked: list[str]) -> None:
    """Rule: the days that the window touches and one more on either side; an end at midnight touches no further day."""
    window = build_window(window_start=start, window_end=end, timezone="Europe/Helsinki")
    assert window is not None
    assert [day.isoformat() for day in window.days_to_ask_for()] == asked


@pytest.mark.parametrize(
    ("given_start", "start"),
    [
        ("2026-07-01", "2026-06-30T21:00:00Z"),
        (date(2026, 7, 1), "2026-06-30T21:00:00Z"),
        ("2026-07-01T06:00:00", "2026-07-01T03:00:00Z"),
        ("2026-07-01 06:00", "2026-07-01T03:00:00Z"),
        (" 2026-07-01T06:00:00Z ", "2026-07-01T06:00:00Z"),
        ("2026-07-01T06:00:00-05:00", "2026-07-01T11:00:00Z"),
        ("2026-07-01T06:00:00.5+00:00", "2026-07-01T06:00:00.500000Z"),
        (datetime(2026, 7, 1, 6), "2026-07-01T03:00:00Z"),  # noqa: DTZ001
        (datetime(2026, 7, 1, 6, tzinfo=UTC), "2026-07-01T06:00:00Z"),
        (pendulum.datetime(2026, 7, 1, 6, tz="America/New_York"), "2026-07-01T10:00:00Z"),
    ],
)
def test_ends_of_a_window_are_written_in_many_ways(given_start: object, start: str) -> None:
    """Rule: a date is the tenant's midnight, a naive datetime the tenant's time, any other names its own instant."""
    window = build_window(window_start=given_start, window_end="2026-08-01", timezone="Europe/Helsinki")
    assert window is not None
    assert (window.start, type(window.start), window.start.utcoffset()) == (at(start), datetime, timedelta(0))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-02-01T10:00:00Z", "2026-02-01T10:00:00Z"),
        ("2026-02-01T10:00:00.123456Z", "2026-02-01T10:00:00.123456Z"),
        ("2026-02-01T10:00:00.5Z", "2026-02-01T10:00:00.500000Z"),
        ("2026-02-01T10:00:00.123456789Z", "2026-02-01T10:00:00.123456Z"),
        ("2026-02-01T10:00:00+02:00", "2026-02-01T08:00:00Z"),
        ("2026-02-01T10:00:00+0200", "2026-02-01T08:00:00Z"),
        ("2026-02-01T10:00:00-11:30", "2026-02-01T21:30:00Z"),
        ("2026-02-01T10:00:00", "2026-02-01T08:00:00Z"),
        ("2026-07-01T10:00:00", "2026-07-01T07:00:00Z"),
        ("2026-02-01 10:00:00", "2026-02-01T08:00:00Z"),
        ("2026-02-01T10:00", "2026-02-01T08:00:00Z"),
        ("2026-02-01", "2026-01-31T22:00:00Z"),
        ("2026-10-25T03:30:00", "2026-10-25T00:30:00Z"),  # twice that night; the first
        ("2026-10-25T03:30:00+02:00", "2026-10-25T01:30:00Z"),  # the second, told apart by its offset
    ],
)
def test_timestamps_of_every_form_name_one_instant(text: str, instant: str) -> None:
    """Rule: Z, an offset, neither, a fraction or a bare date; what has no offset is the tenant's time."""
    # Compared in UTC: by PEP 495 a local time that comes twice equals no time of another zone.
    assert parse_timestamp(text, pendulum.timezone("Europe/Helsinki")).astimezone(UTC) == at(instant)


@pytest.mark.parametrize("text", ["", "now", "2026-02-30", "2026-02-01T25:00:00", "1769904000", "01.02.2026", "2026-02-01Z"])
def test_other_texts_are_no_timestamps(text: str) -> None:
    """Rule: a text that is no timestamp raises, and is never guessed at."""
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text, pendulum.timezone("UTC"))


def test_naive_timestamps_of_a_long_day_fall_into_it_once() -> None:
    """Rule: over a DST change every naive timestamp of the day is inside its window, in neither neighbour's."""
    zone = pendulum.timezone("Europe/Helsinki")
    for day in ("2026-03-29", "2026-10-25"):
        window = day_window(day, "Europe/Helsinki")
        for hour in range(24):
            assert parse_timestamp(f"{day}T{hour:02}:59:59", zone) in window
        following = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        assert parse_timestamp(f"{following}T00:00:00", zone) not in window


def test_a_window_reads_in_the_tenants_time() -> None:
    """Rule: a window shows itself half-open and in the tenant's zone, for logs."""
    assert str(day_window("2026-02-01", "Europe/Helsinki")) == "[2026-02-01T00:00:00+02:00, 2026-02-02T00:00:00+02:00)"


def test_no_arguments_no_window() -> None:
    """Rule: without a period there is no window."""
    assert build_window(timezone="Europe/Helsinki") is None
