"""Waiting for events: any or all types, a minimum, and no request too many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.event_check import EventsFound, build_event_check, check_events

TYPES = ["BROWSE", "MAIL_OPEN", "MAIL_CLICK"]
NOW = datetime(2026, 2, 2, 6, tzinfo=UTC)


def found(runner: Any, answers: Any, events: dict[str, list[list[str]]], **check: Any) -> EventsFound:
    """Run a check against ``events``: timestamps by type and page."""

    def answer(request: Any) -> Any:
        query = parse_qs(urlsplit(request.url).query)
        name, page = query["type"][0], int(query.get("c", ["0"])[0])
        pages = events.get(name, [[]])
        rows = [{"type": name, "date": date} for date in pages[page]]
        more = f"?type={name}&c={page + 1}" if page + 1 < len(pages) else None
        return answers.page("events", rows, more)

    arguments = {"event_types": TYPES, "date": "2026-02-01", **check}
    result: EventsFound = runner.run(check_events(runner.context, build_event_check(**arguments), NOW), answer)
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
    """Rule: a check fetches types and dates in modest pages, no other field."""
    runner = make_runner()
    found(runner, answers, {})
    query = parse_qs(urlsplit(runner.urls[0]).query)
    assert set(query["fields"][0].split(",")) == {"type", "date"}
    assert int(query["limit"][0]) <= 1000


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
