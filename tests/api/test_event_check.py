"""Waiting for events: any or all types, a minimum, and no request too many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError, ProtocolError
from airflow_provider_custobar.watch.event_check import EventsFound, build_event_check, check_events

TYPES = ["BROWSE", "MAIL_OPEN", "MAIL_CLICK"]
END = datetime(2026, 2, 2, tzinfo=UTC)
NOW = END + timedelta(hours=6)


def found(runner: Any, answers: Any, events: dict[str, list[list[str]]], *, now: datetime = NOW, **check: Any) -> EventsFound:
    """Run a check of 1 February against ``events``: timestamps by type and page."""

    def answer(request: Any) -> Any:
        query = parse_qs(urlsplit(request.url).query)
        name, page = query["type"][0], int(query.get("c", ["0"])[0])
        pages = events.get(name, [[]])
        rows = [{"type": name, "date": date} for date in pages[page]]
        more = f"?type={name}&c={page + 1}" if page + 1 < len(pages) else None
        return answers.page("events", rows, more)

    arguments = {"event_types": TYPES, "date": "2026-02-01", **check}
    result: EventsFound = runner.run(check_events(runner.context, build_event_check(**arguments), now), answer)
    return result


def asked(runner: Any) -> list[str]:
    return [parse_qs(urlsplit(url).query)["type"][0] for url in runner.urls]


DAY = "2026-02-01T10:00:00Z"


@pytest.mark.parametrize(
    ("match", "events", "satisfied", "types"),
    [
        ("any", {}, False, TYPES),
        ("any", {"BROWSE": [[DAY]]}, True, ["BROWSE"]),
        ("any", {"MAIL_OPEN": [[DAY]]}, True, ["BROWSE", "MAIL_OPEN"]),
        ("any", {"MAIL_CLICK": [[DAY]]}, True, TYPES),
        ("all", {}, False, ["BROWSE"]),
        ("all", {"BROWSE": [[DAY]]}, False, ["BROWSE", "MAIL_OPEN"]),
        ("all", {"BROWSE": [[DAY]], "MAIL_CLICK": [[DAY]]}, False, ["BROWSE", "MAIL_OPEN"]),
        ("all", {name: [[DAY]] for name in TYPES}, True, TYPES),
    ],
)
def test_any_and_all(
    make_runner: Callable[..., Any], answers: Any, *, match: str, events: Any, satisfied: bool, types: list[str]
) -> None:
    """Rule: any = one type has enough, all = each has; asking stops with the first type that decides."""
    runner = make_runner()
    result = found(runner, answers, events, match=match)
    assert result.satisfied is satisfied
    assert asked(runner) == types
    assert list(result.by_type) == types


@pytest.mark.parametrize(
    ("pages", "minimum", "satisfied", "requests", "count"),
    [
        ([[DAY]], 1, True, 1, 1),
        ([[DAY]], 2, False, 1, 1),
        ([[DAY], [DAY]], 2, True, 2, 2),
        ([[DAY], [], [DAY], [DAY]], 2, True, 3, 2),
        ([[DAY, DAY, DAY], [DAY]], 2, True, 1, 2),
        ([[], [], []], 1, False, 3, 0),
        ([[DAY], [DAY]], 3, False, 2, 2),
    ],
)
def test_the_minimum_holds_for_one_type_and_stops_early(
    make_runner: Callable[..., Any],
    answers: Any,
    *,
    pages: list[list[str]],
    minimum: int,
    satisfied: bool,
    requests: int,
    count: int,
) -> None:
    """Rule: min_events of one type are enough, over as many pages as it takes and not one more; empty pages do not end it."""
    runner = make_runner()
    result = found(runner, answers, {"BROWSE": pages}, event_types="BROWSE", min_events=minimum)
    assert result.satisfied is satisfied
    assert len(runner.sent) == requests
    assert result.by_type["BROWSE"].count == count


def test_types_do_not_add_up(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: any asks for one type with enough events; one of each of three types is not three of one."""
    assert found(make_runner(), answers, {name: [[DAY]] for name in TYPES}, min_events=3).satisfied is False


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-01-31T21:59:59.999Z", False),
        ("2026-01-31T22:00:00Z", True),
        ("2026-02-01T21:59:59.999Z", True),
        ("2026-02-01T22:00:00Z", False),
        ("2026-02-01T00:00:00", True),
        ("2026-02-02T00:00:00+02:00", False),
    ],
)
def test_events_of_neighbouring_days_do_not_count(
    make_runner: Callable[..., Any], answers: Any, moment: str, inside: bool
) -> None:
    """Rule: the API is asked for a day more on each side, but only events inside the tenant's day count."""
    runner = make_runner(timezone="Europe/Helsinki")
    result = found(runner, answers, {"BROWSE": [[moment]]}, event_types="BROWSE", timezone="Europe/Helsinki")
    assert result.satisfied is inside
    query = parse_qs(urlsplit(runner.urls[0]).query)
    assert (query["date.gte"], query["date.lte"]) == (["2026-01-31"], ["2026-02-02"])


def test_only_what_is_needed_is_asked_for(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a check fetches types and dates, newest first and in modest pages, no other field."""
    runner = make_runner()
    found(runner, answers, {})
    query = parse_qs(urlsplit(runner.urls[0]).query)
    assert set(query["fields"][0].split(",")) == {"type", "date"}
    assert query["order"] == ["-date"]
    assert int(query["limit"][0]) <= 1000


@pytest.mark.parametrize(
    ("check", "limit"),
    [
        ({}, 1000),
        ({"min_events": 1000}, 1000),
        ({"min_events": 1001}, 1001),
        ({"min_events": 20_000}, 10_000),
        ({"wait_for": "complete", "settle": 86_400}, 1000),
        ({"trust_day_filter": True}, 1),
        ({"trust_day_filter": True, "min_events": 7}, 7),
        ({"trust_day_filter": True, "min_events": 20_000}, 10_000),
        ({"trust_day_filter": True, "date": None, "window_start": "2026-02-01", "window_end": "2026-02-01T12:00:00"}, 1000),
        ({"trust_day_filter": True, "wait_for": "complete", "settle": 86_400}, 1000),
    ],
    ids=str,
)
def test_pages_hold_what_may_be_needed(
    make_runner: Callable[..., Any], answers: Any, check: dict[str, Any], limit: int
) -> None:
    """Rule: as many as are wanted where each one that comes counts, a thousand at least elsewhere, never more than allowed."""
    runner = make_runner()
    found(runner, answers, {}, **check)
    assert {parse_qs(urlsplit(url).query)["limit"][0] for url in runner.urls} == {str(limit)}


@pytest.mark.parametrize("check", [{}, {"trust_day_filter": True}, {"wait_for": "complete", "settle": 86_400}], ids=str)
def test_filters_are_asked_for(make_runner: Callable[..., Any], answers: Any, check: dict[str, Any]) -> None:
    """Rule: every request carries the filters, whatever is waited for."""
    runner = make_runner()
    filters = {"campaign": "a&b", "score": 5}
    assert not found(runner, answers, {}, filters=filters, allow_unknown_names=True, **check).satisfied
    queries = [parse_qs(urlsplit(url).query) for url in runner.urls]
    assert [(query["type"], query["campaign"], query["score"]) for query in queries] == [([t], ["a&b"], ["5"]) for t in TYPES]


def test_older_pages_are_not_asked_for(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: where events come newest first, a no costs the pages down to the window's start and none of those before."""
    after = [(END + timedelta(minutes=number)).isoformat() for number in reversed(range(40))]
    before = [(END - timedelta(days=1, minutes=number)).isoformat() for number in range(1, 41)]
    runner = make_runner()
    assert not found(runner, answers, {"BROWSE": [after, before, before, before]}, event_types="BROWSE").satisfied
    assert len(runner.sent) == 2


def test_a_trusted_day_filter_is_taken_at_its_word(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: then the window's days alone are asked for, and all that comes counts; an unreadable date tells no time."""
    runner = make_runner()
    events = {"BROWSE": [["?", "2026-01-31T10:00:00Z"], [DAY]]}
    check: dict[str, Any] = {"event_types": "BROWSE", "min_events": 3}
    result = found(runner, answers, events, trust_day_filter=True, **check)
    assert result.as_document() == {"BROWSE": {"count": 3, "first": "2026-01-31T10:00:00Z", "last": DAY}}
    query = parse_qs(urlsplit(runner.urls[0]).query)
    assert (query["date.gte"], query["date.lte"]) == (["2026-02-01"], ["2026-02-01"])
    with pytest.raises(ProtocolError, match="Record 1 of events BROWSE"):
        found(make_runner(), answers, events, **check)


def test_the_first_and_last_timestamp_are_told(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: what was seen is told as the API wrote it, first and last by time, ready for XCom."""
    early, late = "2026-02-01T00:30:00+02:00", "2026-01-31T23:00:00Z"  # by text, late would come first
    runner = make_runner(timezone="Europe/Helsinki")
    result = found(runner, answers, {"BROWSE": [[late, early]]}, event_types="BROWSE", min_events=2, timezone="Europe/Helsinki")
    assert result.as_document() == {"BROWSE": {"count": 2, "first": early, "last": late}}
    nothing = found(make_runner(), answers, {}, event_types="BROWSE")
    assert nothing.as_document() == {"BROWSE": {"count": 0, "first": None, "last": None}}


@pytest.mark.parametrize(
    ("arguments", "name", "value", "accepted"),
    [
        ({"match": "either"}, "match", "'either'", "any, all"),
        ({"match": None}, "match", "None", "any, all"),
        ({"min_events": 0}, "min_events", "0", "1 at least"),
        ({"min_events": "-1"}, "min_events", "-1", "1 at least"),
        ({"min_events": ""}, "min_events", "''", "whole number"),
        ({"min_events": 1.5}, "min_events", "1.5", "whole number"),
        ({"min_events": True}, "min_events", "True", "whole number"),
        ({"min_events": None}, "min_events", "None", "whole number"),
        ({"date": None}, "date", "None", "window_start"),
        ({"date": "today"}, "date", "'today'", "YYYY-MM-DD"),
        ({"window_end": "2026-02-02"}, "date", "'2026-02-01'", "not both"),
        ({"event_types": []}, "event_types", "[]", "MAIL_OPEN"),
        ({"event_types": "MAIL_OPENED"}, "event_types", "'MAIL_OPENED'", "'MAIL_OPEN'"),
        ({"wait_for": "end"}, "wait_for", "'end'", "events, complete"),
        ({"wait_for": None}, "wait_for", "None", "events, complete"),
        ({"settle": -1}, "settle", "-1", "0 at least"),
        ({"settle": float("nan")}, "settle", "nan", "seconds"),
        ({"settle": float("inf")}, "settle", "inf", "seconds"),
        ({"wait_for": "complete", "min_events": 2}, "min_events", "2", "leave it out"),
        ({"wait_for": "complete", "date": None}, "date", "None", "window_start"),
        ({"filters": {"date.gte": "2026-02-01"}}, "filters", "'date.gte'", "window"),
    ],
)
def test_wrong_input_is_refused(arguments: dict[str, Any], name: str, value: str, accepted: str) -> None:
    """Rule: a check that cannot be made fails before the first request, naming argument, value and what is accepted."""
    with pytest.raises(InvalidArgumentError) as caught:
        build_event_check(**{"event_types": ["BROWSE"], "date": "2026-02-01", **arguments})
    assert str(caught.value).startswith(f"{name}=")
    assert value in str(caught.value)
    assert accepted in str(caught.value)


def test_numbers_may_be_texts_and_types_may_be_forced() -> None:
    """Rule: rendered templates are texts; a tenant's own type passes with allow_unknown_names."""
    check = build_event_check(
        "OWN_TYPE", window_start="2026-02-01", window_end="2026-02-02", min_events="3", allow_unknown_names=True
    )
    assert (check.min_events, list(check.queries), check.match) == (3, ["OWN_TYPE"], "any")


@pytest.mark.parametrize(
    ("passed", "settle", "satisfied", "requests"),
    [
        (-3600, 3600, False, 0),
        (-3600, 0, False, 0),
        (0, 0, False, 0),
        (1, 0, True, 0),
        (1, 3600, False, 3),
        (3599, 3600, False, 3),
        (3600, 3600, True, 0),
        (10**9, 3600, True, 0),
    ],
)
def test_time_alone_may_tell_whether_a_window_is_complete(
    make_runner: Callable[..., Any], answers: Any, *, passed: int, settle: int, satisfied: bool, requests: int
) -> None:
    """Rule: before a window's end and once settle has passed since, the answer is known without a request."""
    runner = make_runner()
    now = END + timedelta(seconds=passed)
    result = found(runner, answers, {}, now=now, wait_for="complete", settle=settle)
    assert (result.satisfied, len(runner.sent)) == (satisfied, requests)
    assert len(result.by_type) == requests


AT_ONCE = END.isoformat()
LATER = "2026-02-02T05:59:59.999999Z"
NOT_YET = ["2026-02-02T06:00:00Z", "2026-02-03T00:00:00Z"]


@pytest.mark.parametrize(
    ("pages", "satisfied"),
    [
        ([[]], False),
        ([[DAY, "2026-02-01T23:59:59.999999Z"]], False),
        ([[AT_ONCE]], True),
        ([[LATER]], True),
        ([NOT_YET], False),
        ([[*NOT_YET, DAY]], False),
        ([NOT_YET, [], [LATER, DAY]], True),
        ([["2026-02-02T08:30:00+03:00"]], True),
        ([["2026-02-02T02:30:00+03:00"]], False),
    ],
)
def test_a_later_event_shows_that_a_window_is_complete(
    make_runner: Callable[..., Any], answers: Any, *, pages: list[list[str]], satisfied: bool
) -> None:
    """Rule: an event from between the window's end and now completes it; one inside or from the future does not."""
    result = found(make_runner(), answers, {"BROWSE": pages}, event_types="BROWSE", wait_for="complete", settle=86_400)
    assert result.satisfied is satisfied
    assert result.by_type["BROWSE"].count == int(satisfied)


@pytest.mark.parametrize(
    ("match", "later", "satisfied", "types"),
    [
        ("any", [], False, TYPES),
        ("any", ["MAIL_OPEN"], True, TYPES[:2]),
        ("all", ["BROWSE"], False, TYPES[:2]),
        ("all", TYPES, True, TYPES),
    ],
)
def test_any_and_all_types_may_complete_a_window(
    make_runner: Callable[..., Any], answers: Any, *, match: str, later: list[str], satisfied: bool, types: list[str]
) -> None:
    """Rule: any = a later event of one type is enough, all = each type needs one; asking stops with the type that decides."""
    runner = make_runner()
    events = {name: [[LATER, DAY] if name in later else [DAY]] for name in TYPES}
    result = found(runner, answers, events, match=match, wait_for="complete", settle=86_400)
    assert result.satisfied is satisfied
    assert asked(runner) == list(result.by_type) == types


def test_the_tenants_midnight_ends_a_window(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a day is over, and an event later than it, by the tenant's clock."""
    check = {"event_types": "BROWSE", "wait_for": "complete", "settle": 86_400, "timezone": "Europe/Helsinki"}
    for date, satisfied in [("2026-02-01T23:59:59", False), ("2026-02-02T00:00:00", True), ("2026-02-01T22:00:00Z", True)]:
        runner = make_runner(timezone="Europe/Helsinki")
        now = datetime(2026, 2, 1, 22, 30, tzinfo=UTC)
        assert found(runner, answers, {"BROWSE": [[date]]}, now=now, **check).satisfied is satisfied


@pytest.mark.parametrize(
    ("wait_for", "passed", "seconds"), [("complete", -90, 90), ("complete", 0, 0), ("complete", 90, 0), ("events", -90, 0)]
)
def test_how_long_asking_is_pointless(wait_for: Any, passed: int, seconds: float) -> None:
    """Rule: a window cannot be complete before its end, while events may be there at any time."""
    check = build_event_check("BROWSE", date="2026-02-01", wait_for=wait_for)
    assert check.seconds_until_it_matters(END + timedelta(seconds=passed)) == seconds
