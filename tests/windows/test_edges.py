"""Days beside a window are read for their edge only, and nothing depends on it."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from unittest.mock import Mock

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_custobar.api.responses import Response
from tests.soak import times
from tests.windows import quiet_tenant
from tests.windows.quiet_tenant import QuietTenant
from tests.windows.scenarios import DAY, Piece, Raw, Scenario, between, midnight, zone

#: From 12 hours behind UTC to 14 ahead of it.
ZONES = ["UTC", "Europe/Helsinki", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Etc/GMT+12"]
SINCE = date(2026, 2, 8)
TIME_ORDERS = ["obey", "ignore", "reject", "text", "page"]


def made(
    resource: str, per_day: list[int], seed: int, *, step: int = 1, kinds: tuple[str, ...] = ("BROWSE",), place: str = "UTC"
) -> list[Raw]:
    """So many records on each day from :data:`SINCE` on, at random multiples of ``step`` seconds."""
    chance = random.Random(seed)
    instants = [
        midnight(SINCE + number * DAY, zone(place)) + timedelta(seconds=chance.randrange(0, 86_400, step))
        for number, count in enumerate(per_day)
        for _ in range(count)
    ]
    return [
        Raw(f"m{number}", chance.choice(kinds) if resource == "events" else "", instant, "")
        for number, instant in enumerate(instants)
    ]


def scenario_of(raws: list[Raw], piece: Piece, **changes: Any) -> Scenario:
    values: dict[str, Any] = {
        "resource": "events",
        "api_format": "json",
        "tenant_zone": "UTC",
        "api_zone": "UTC",
        "style": "z",
        "pieces": [],
        "fields": None,
        "event_types": ("BROWSE",),
        "page_size": 100,
        "other_page_size": 100,
        "quirks": {},
    }
    return Scenario(**{**values, **changes}, raws=raws, whole=piece)


def day_of(day: date, place: str) -> Piece:
    start, end = midnight(day, zone(place)), midnight(day + DAY, zone(place))
    return Piece({"date": day.isoformat()}, between(start, end))


@st.composite
def tenants(draw: st.DrawFn) -> Scenario:
    resource = draw(st.sampled_from(["events", "sales"]))
    tenant_zone, api_zone = draw(st.sampled_from(ZONES)), draw(st.sampled_from(ZONES))
    if draw(st.booleans()):
        piece = day_of(SINCE + 2 * DAY, tenant_zone)
    else:
        start = datetime.combine(SINCE + 2 * DAY, time(draw(st.integers(0, 23)), 30), zone(tenant_zone)).astimezone(UTC)
        end = start + timedelta(hours=draw(st.sampled_from([1, 3, 24, 40])))
        as_given = draw(st.sampled_from([lambda moment: moment, pendulum.instance]))  # Airflow gives pendulum's
        piece = Piece({"window_start": as_given(start), "window_end": as_given(end)}, between(start, end))
    per_day = draw(st.lists(st.sampled_from([0, 5, 25, 60, 150]), min_size=6, max_size=6))
    styles = ["z", "offset", "mixed", *(["naive"] if tenant_zone == api_zone else [])]
    kinds = draw(st.sampled_from([("BROWSE",), ("BROWSE", "MAIL_OPEN")]))
    raws = made(resource, per_day, draw(st.integers(0, 2**32)), step=draw(st.sampled_from([1, 60, 3600])), kinds=kinds)
    return scenario_of(
        raws,
        piece,
        resource=resource,
        api_format=draw(st.sampled_from(["json", "csv"])),
        tenant_zone=tenant_zone,
        api_zone=api_zone,
        style=draw(st.sampled_from(styles)),
        fields=draw(st.sampled_from([None, ("path",), ("path", "date")])) if resource == "events" else None,
        event_types=kinds if resource == "events" else (),
        page_size=draw(st.integers(20, 90)),
        quirks={
            "time_order": draw(st.sampled_from(TIME_ORDERS)),
            **draw(st.sampled_from([{}, {"short_pages": True}, {"empty_last_page": True}, {"next_url_style": "offset"}])),
        },
    )


@pytest.mark.slow
@given(scenario=tenants())
@settings(max_examples=times(2_000, 100_000))
def test_the_window_is_exact_whatever_the_api_makes_of_order(scenario: Scenario) -> None:
    """Rule: whether the API sorts by time, ignores, refuses or misunderstands that, in whatever zone it cuts days, each record
    of the window is there once, and no other.
    """
    assert sorted(QuietTenant(scenario).export(scenario.whole).marks) == scenario.expected(scenario.whole)


@given(scenario=tenants(), place=st.integers(0, 10**6))
@settings(max_examples=30)
def test_a_run_that_is_cut_anywhere_goes_on(scenario: Scenario, place: int) -> None:
    """Rule: an attempt that goes on after any page, knowing nothing of what was learnt before, completes the same rows."""
    tenant = QuietTenant(scenario)
    pages = tenant.pages(scenario.whole)
    done = pages[: place % len(pages) + 1]
    rest = tenant.pages(scenario.whole, after=done[-1].after) if done[-1].after is not None else []
    whole, together = (b"".join(bytes(page.view) for page in each) for each in (pages, [*done, *rest]))
    assert together == whole


@given(scenario=tenants(), other=st.sampled_from(["ignore", "reject"]), page_size=st.integers(5, 200))
@settings(max_examples=30)
def test_the_rows_come_in_one_order(scenario: Scenario, other: str, page_size: int) -> None:
    """Rule: an API whose own order is by time gives the same bytes whether it obeys or not, whatever the page size."""
    same = replace(scenario, style="z", resource="events", event_types=("BROWSE",), fields=None)
    raws = [replace(raw, kind="BROWSE", instant=raw.instant + timedelta(microseconds=n)) for n, raw in enumerate(scenario.raws)]
    bodies = {
        QuietTenant(replace(same, raws=raws, quirks={"time_order": time_order})).export(same.whole, page_size=size).body
        for time_order, size in (("obey", scenario.page_size), (other, scenario.page_size), ("obey", page_size))
    }
    assert len(bodies) == 1


@given(scenario=tenants(), request=st.integers(1, 8), seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_records_that_arrive_meanwhile_move_no_other(scenario: Scenario, request: int, seed: int) -> None:
    """Rule: while records arrive between two requests, those that were there come once each, and new ones at most once."""
    late = [
        replace(raw, mark=f"m{number}")
        for number, raw in enumerate(made(scenario.resource, [30] * 6, seed), len(scenario.raws))
    ]
    # Where pages are counted by records, what arrives moves the others on, however they are read.
    quirks = {name: value for name, value in scenario.quirks.items() if name != "next_url_style"}
    both = replace(scenario, raws=scenario.raws + late, quirks=quirks)
    marks = QuietTenant(both, arriving={request: late}).export(scenario.whole).marks
    assert len(marks) == len(set(marks))
    old = {raw.mark for raw in scenario.raws}
    assert sorted(mark for mark in marks if mark in old) == scenario.expected(scenario.whole)
    assert set(marks) <= set(both.expected(scenario.whole))


@pytest.mark.parametrize("place", ["UTC", "Pacific/Kiritimati"])
@pytest.mark.parametrize("per_day", [[90] * 5, [0, 0, 300, 300, 300], [300] * 5])
@pytest.mark.parametrize("hours", [None, 1, 14])
def test_a_last_day_that_is_only_its_midnight_loses_nothing(per_day: list[int], hours: int | None, place: str) -> None:
    """Rule: where the API takes the last day of a range for its first moment, no record is lost: nothing is built on a range's
    last day coming whole before it is seen to, be it a range of one day, or of two, as in zones far ahead of UTC.
    """
    piece = day_of(SINCE + 2 * DAY, place)
    if hours is not None:
        start = midnight(SINCE + 2 * DAY, zone(place)) + timedelta(hours=hours)
        piece = Piece({"window_start": start, "window_end": start + DAY / 24}, between(start, start + DAY / 24))
    raws = made("events", per_day, 3, place=place)
    scenario = scenario_of(raws, piece, tenant_zone=place, api_zone=place, quirks={"last_day": "midnight"})
    assert sorted(QuietTenant(scenario).export(piece).marks) == scenario.expected(piece) != []


@pytest.mark.parametrize("resource", ["events", "sales"])
@pytest.mark.parametrize("time_order", ["obey", "ignore"])
def test_a_next_page_that_is_not_there_any_more(resource: str, time_order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: where the API no longer takes the address of an edge's next page, the edge is read in another way."""
    answer, refused = quiet_tenant._answer, Mock(return_value=Response(400, {}, b"{}"))

    def answered(sandbox: Any, config: Any, request: Any) -> Response:
        is_edge = "2026-02-09" in request.url and "2026-02-1" not in request.url
        is_once = is_edge and "cursor=" in request.url and not refused.called
        return refused() if is_once else answer(sandbox, config, request)  # type: ignore[no-any-return]

    monkeypatch.setattr(quiet_tenant, "_answer", answered)
    piece = day_of(SINCE + 2 * DAY, "Asia/Kolkata")
    types = ("BROWSE",) if resource == "events" else ()
    chosen: dict[str, Any] = {"resource": resource, "event_types": types, "tenant_zone": "Asia/Kolkata", "page_size": 40}
    scenario = scenario_of(made(resource, [400] * 5, 5), piece, quirks={"time_order": time_order}, **chosen)
    assert sorted(QuietTenant(scenario).export(piece).marks) == scenario.expected(piece)
    assert refused.called == (resource == "sales" or time_order == "obey")


@pytest.mark.slow
@pytest.mark.parametrize("api_zone", ["Europe/Helsinki", "UTC"])
@pytest.mark.parametrize("resource", ["events", "sales"])
def test_a_day_costs_little_more_than_it_holds(resource: str, api_zone: str) -> None:
    """Rule: a day takes three more requests for each type than its pages, at most, where the API sorts by time; where it does
    not, three more than its three days together.
    """
    kinds = ("BROWSE", "MAIL_OPEN", "MAIL_CLICK")
    raws = made(resource, [10_850] * 5, 7, kinds=kinds, place="Europe/Helsinki")
    day = day_of(SINCE + 2 * DAY, "Europe/Helsinki")
    types = kinds if resource == "events" else ()
    made_so = {"resource": resource, "tenant_zone": "Europe/Helsinki", "api_zone": api_zone, "event_types": types}
    costs = {}
    for time_order in ("obey", "ignore", "reject", "page"):
        scenario = scenario_of(raws, day, page_size=1_000, quirks={"time_order": time_order}, **made_so)
        costs[time_order] = QuietTenant(scenario).export(day)
    assert len({tuple(sorted(cost.marks)) for cost in costs.values()}) == 1
    there = [(raw.kind, raw.instant.astimezone(zone(api_zone)).date()) for raw in raws]
    series = Counter(each for each in there if each[1] == SINCE + 2 * DAY)
    assert costs.pop("obey").requests <= sum(math.ceil(count / 1_000) for count in series.values()) + 3 * len(series)
    three_days = [each for each in there if abs(each[1] - SINCE - 2 * DAY) <= DAY]
    together = Counter(kind if resource == "events" else day for kind, day in three_days)
    assert max(cost.requests for cost in costs.values()) <= sum(math.ceil(count / 1_000) for count in together.values()) + 3
