"""Random records around every kind of boundary, random cuttings of time: nothing is lost and nothing repeated."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.windows import build_window
from tests.windows.quiet_tenant import QuietTenant
from tests.windows.scenarios import (
    DAY,
    SKIPPED,
    TURNS,
    Piece,
    Raw,
    Scenario,
    between,
    exists,
    midnight,
    scenarios,
    turns_within,
    zone,
)


def check_cutting(scenario: Scenario) -> None:
    """Each piece holds what its records' own timestamps say, and the pieces together what the whole holds."""
    tenant = QuietTenant(scenario)
    together: list[str] = []
    for piece in scenario.pieces:
        marks = tenant.export(piece).marks
        assert sorted(marks) == scenario.expected(piece), piece.arguments
        together += marks
    assert len(together) == len(set(together))
    assert sorted(together) == scenario.expected(scenario.whole)
    first = tenant.export(scenario.whole)
    assert sorted(first.marks) == sorted(together)
    again = tenant.export(scenario.whole, page_size=scenario.other_page_size)
    assert again.body == first.body


@given(scenario=scenarios("events", "json"))
def test_events_as_json(scenario: Scenario) -> None:
    """Rule: over any cutting of time, each event is in the one window that its own timestamp names; the same question gives
    the same bytes, whatever the page size.
    """
    check_cutting(scenario)


@given(scenario=scenarios("events", "csv"))
def test_events_as_csv(scenario: Scenario) -> None:
    """Rule: the same for CSV pages, with commas, quotes and line ends inside cells."""
    check_cutting(scenario)


@given(scenario=scenarios("sales", "json"))
def test_sales_as_json(scenario: Scenario) -> None:
    """Rule: the same for sales, which are asked for day by day."""
    check_cutting(scenario)


@given(scenario=scenarios("sales", "csv"))
def test_sales_as_csv(scenario: Scenario) -> None:
    """Rule: the same for sales as CSV."""
    check_cutting(scenario)


@given(scenario=st.sampled_from(["events", "sales"]).flatmap(lambda name: scenarios(name, "json", trusted=True)))
def test_a_trusted_day_filter_finds_the_same(scenario: Scenario) -> None:
    """Rule: where the API cuts the tenant's own days, trusting it gives the same records with fewer questions."""
    careful, trusting = QuietTenant(scenario), QuietTenant(scenario, trust_day_filter=True)
    for piece in scenario.pieces:
        slow, fast = careful.export(piece), trusting.export(piece)
        assert fast.marks == slow.marks
        assert sorted(fast.marks) == scenario.expected(piece)
        assert fast.fetched == len(fast.marks)
        if scenario.fields is None or scenario.timestamp in scenario.fields:
            assert fast.body == slow.body
        assert fast.requests <= slow.requests
        if scenario.resource == "sales":
            assert fast.requests <= slow.requests - 2, "two days fewer"


@pytest.mark.parametrize("resource", ["events", "sales"])
def test_trust_ends_where_a_window_is_no_whole_day(resource: str) -> None:
    """Rule: a trusted filter of days cannot cut an hour, so there the records are looked at all the same."""
    hour = datetime(2026, 2, 1, 10, tzinfo=UTC)
    piece = Piece({"window_start": hour, "window_end": hour + timedelta(hours=1)}, lambda _: True)
    raws = [Raw(f"m{n}", "BROWSE", hour + timedelta(minutes=30 * n - 30), "") for n in range(4)]
    scenario = one_tenant(resource, raws, "UTC")
    assert QuietTenant(scenario, trust_day_filter=True).export(piece).marks == ["m1", "m2"]


def one_tenant(resource: str, raws: list[Raw], zone_name: str, style: str = "z") -> Scenario:
    whole = Piece({}, lambda _: True)
    types = ("BROWSE",) if resource == "events" else ()
    return Scenario(resource, "json", zone_name, zone_name, style, raws, [], whole, None, types, 100, 100, {})


@pytest.mark.slow
@pytest.mark.parametrize("style", ["z", "offset", "naive"])
@pytest.mark.parametrize(("zone_name", "day"), [(name, day) for name, days in TURNS.items() for day in days])
def test_the_hours_around_a_turn_of_the_clock(zone_name: str, day: date, style: str) -> None:
    """Rule: quarter by quarter through a night in which the clock is turned, each event is in the quarter that it names."""
    start = midnight(day - DAY, zone(zone_name))
    quarters = [start + timedelta(minutes=15 * number) for number in range(4 * 54)]
    turns = turns_within(quarters[0], quarters[-1], zone_name) or (midnight(day, zone(zone_name)),)
    near = [quarter for quarter in quarters if abs(quarter - turns[0]) <= timedelta(hours=3)]
    raws = [Raw(f"m{n}", "BROWSE", near[0] + timedelta(minutes=5 * n), "") for n in range(3 * len(near) - 3)]
    scenario = one_tenant("events", raws, zone_name, style)
    tenant = QuietTenant(scenario)
    pieces = [Piece({"window_start": one, "window_end": other}, between(one, other)) for one, other in pairwise(near)]
    found = [sorted(tenant.export(piece).marks) for piece in pieces]
    assert found == [scenario.expected(piece) for piece in pieces]
    assert sum(map(len, found)) >= len(raws) - 12, "an hour that comes twice may be read as one before the first piece"


@pytest.mark.parametrize("zone_name", sorted(TURNS))
def test_a_day_that_the_calendar_skipped_is_refused(zone_name: str) -> None:
    """Rule: every day of a year with a turn is a window, but for one that the tenant's calendar left out."""
    for turn in TURNS[zone_name]:
        for day in (turn - DAY, turn, turn + DAY):
            if exists(day, zone(zone_name)):
                window = build_window(date=day, timezone=zone_name)
                assert window is not None
                assert window.start == midnight(day, zone(zone_name))
            else:
                with pytest.raises(InvalidArgumentError, match=f"{day}.*does not exist in {zone_name}"):
                    build_window(date=day.isoformat(), timezone=zone_name)
    assert not exists(SKIPPED[1], zone(SKIPPED[0]))


@pytest.mark.parametrize("resource", ["events", "sales"])
def test_a_night_that_falls_back_behind_midnight(resource: str) -> None:
    """Rule: where the clock falls back from a minute past midnight to the day before, windows of ten minutes still hold
    every record once.
    """
    name = "America/St_Johns"
    start = datetime(2005, 10, 30, 1, 0, 30, tzinfo=UTC)  # half past ten on the 29th; at 02:31 UTC, 00:01 becomes 23:01
    cuts = [start + timedelta(minutes=10 * number) for number in range(19)]
    raws = [Raw(f"m{n}", "BROWSE", start + timedelta(minutes=5 * n), "") for n in range(36)]
    tenant = QuietTenant(one_tenant(resource, raws, name))
    marks = []
    for one, other in pairwise(cuts):
        marks += tenant.export(Piece({"window_start": one, "window_end": other}, lambda _: True)).marks
    assert sorted(marks) == sorted(raw.mark for raw in raws)


def test_a_window_that_falls_back_behind_midnight_touches_both_days() -> None:
    """Rule: a window that begins after midnight and ends, by the clock, before it touches both days."""
    start = datetime(2005, 10, 30, 2, 30, 30, tzinfo=UTC)
    window = build_window(window_start=start, window_end=start + timedelta(minutes=9), timezone="America/St_Johns")
    assert window is not None
    assert start.astimezone(ZoneInfo("America/St_Johns")).date() == date(2005, 10, 30)
    assert {date(2005, 10, 29), date(2005, 10, 30)} <= set(window.days_to_ask_for())
    assert not window.is_whole_days
