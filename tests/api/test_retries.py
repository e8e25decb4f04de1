"""What is tried again, after how long, how often; what is final."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api import errors, flow, paging
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.responses import retry_after_seconds

NOW = datetime(2026, 2, 1, 12, 0, 0, tzinfo=UTC)


def customers(runner: Any) -> Any:
    return paging.pages(runner.context, build_query("customers"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("Sun, 01 Feb 2026 12:00:30 GMT", 30),
        ("Sun, 01 Feb 2026 14:00:30 +0200", 30),
        ("Sunday, 01-Feb-26 12:00:30 GMT", 30),
        ("Sun Feb  1 12:00:30 2026", 30),
        ("Sun, 01 Feb 2026 11:00:00 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("5 seconds", None),
        ("Wed, 99 Foo 2026 99:99:99 GMT", None),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """Rule: a number of seconds or an HTTP date in any of its forms; a date gone by is now; anything else is no answer."""
    assert retry_after_seconds(header, NOW) == seconds


@given(
    st.text(max_size=40)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} (Jan|Feb) \d{1,12} \d\d:\d\d:\d\d [+-]?[0-9A-Z]{1,8}", fullmatch=True)
)
def test_no_retry_after_crashes(header: str) -> None:
    """Rule: whatever a proxy writes into Retry-After, it is a number of seconds or nothing."""
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0"}, 0),
        ({"retry_after": "Thu, 01 Jan 2015 00:00:00 GMT"}, 0),
        ({}, 60),
        ({"retry_after": "soon"}, 60),
        ({"retry_after": "-1"}, 60),
        ({"retry_after": "99999999999999999999"}, 3600),
        ({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 3600),
    ],
)
def test_429_waits_as_long_as_the_server_says(
    make_runner: Callable[..., Any], answers: Any, headers: dict[str, str], waited: float
) -> None:
    """Rule: 429 waits Retry-After, else 60 seconds; an absurd one is cut to an hour; then the same request is sent."""
    runner = make_runner(requests_per_minute=60_000)
    runner.run(customers(runner), [answers.error(429, **headers), answers.page("customers", [{}])])
    assert [wait.seconds for wait in runner.explained] == [waited]
    assert runner.urls[0] == runner.urls[1]
    assert runner.pages[0].rows == 1
    assert "429" in runner.explained[0].reason


def test_429_holds_back_everybody_who_shares_the_client(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a pause that the server asked one request for is kept by all threads of the client."""
    runner = make_runner(requests_per_minute=60)
    steps = customers(runner)
    first = next(steps)
    assert isinstance(first, flow.Request)
    wait = steps.send(answers.error(429, retry_after="30"))
    assert wait.seconds == 30
    assert runner.context.pacer.reserve(runner.now) == 30


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_5xx_backs_off_with_jitter(make_runner: Callable[..., Any], answers: Any, chance: float) -> None:
    """Rule: pauses double from one second to a minute, and half of each is drawn by chance."""
    runner = make_runner(requests_per_minute=60_000, max_attempts=10, chance=chance)
    runner.run(customers(runner), [*[answers.error(503)] * 9, answers.page("customers", [])])
    whole = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [wait.seconds for wait in runner.explained] == [seconds * (0.5 + chance / 2) for seconds in whole]


def test_a_503_with_retry_after_waits_that_long(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a server in maintenance that says when to come back is taken at its word."""
    runner = make_runner()
    runner.run(customers(runner), [answers.error(503, retry_after="17"), answers.page("customers", [])])
    assert [wait.seconds for wait in runner.explained] == [17]


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_max_attempts_is_the_number_of_requests(make_runner: Callable[..., Any], answers: Any, attempts: int) -> None:
    """Rule: a request is sent max_attempts times and no more, and the last failure is raised without a further pause."""
    runner = make_runner(max_attempts=attempts)
    with pytest.raises(errors.ServerError, match=r"502.*customers") as caught:
        runner.run(customers(runner), lambda request: answers.error(502))
    assert caught.value.status == 502
    assert len(runner.sent) == attempts
    assert len(runner.explained) == attempts - 1


def test_every_request_has_its_own_attempts(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a failure on one page uses up nothing of the next page's tries."""
    runner = make_runner(max_attempts=2)
    pages = [answers.page("customers", [], f"/api/data/customers/?c={number}") for number in range(5)]
    script = [reply for page in pages for reply in (answers.error(500), page)]
    runner.run(customers(runner), [*script, answers.page("customers", [])])
    assert len(runner.pages) == 6


def test_very_many_attempts_do_not_overflow(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: whoever wants to wait for days may: the pause stays at its longest, however many tries came before."""
    runner = make_runner(max_attempts=1200)
    with pytest.raises(errors.ServerError):
        runner.run(customers(runner), lambda request: answers.error(500))
    assert len(runner.sent) == 1200
    assert max(wait.seconds for wait in runner.explained) <= 60


@pytest.mark.parametrize("may_have_arrived", [True, False])
def test_broken_connections_are_tried_again(make_runner: Callable[..., Any], answers: Any, may_have_arrived: bool) -> None:
    """Rule: no answer to a GET is no reason to give up, and the last one raises what happened."""
    runner = make_runner(max_attempts=3)
    broken = errors.TransportError("No complete answer.", may_have_arrived=may_have_arrived)
    runner.run(customers(runner), [broken, broken, answers.page("customers", [{}])])
    assert runner.pages[0].rows == 1
    with pytest.raises(errors.TransportError, match="No complete answer"):
        runner.run(customers(runner), [broken, broken, broken])


@pytest.mark.parametrize(
    "body",
    [b"", b'{"customers":[{"external_id":"1"}', b"{}", b'{"customers":"x"}', b"<html>Log in</html>", b'{"customers":["\xff"]}'],
)
def test_malformed_bodies_are_asked_for_again(make_runner: Callable[..., Any], answers: Any, body: bytes) -> None:
    """Rule: a 200 whose body is cut or something else is a passing fault; nothing of it reaches the caller."""
    runner = make_runner(max_attempts=3)
    runner.run(customers(runner), [answers.raw(body), answers.raw(body), answers.page("customers", [{"external_id": "1"}])])
    assert [page.records for page in runner.pages] == [[b'{"external_id": "1"}']]
    with pytest.raises(errors.MalformedResponseError, match="customers"):
        runner.run(customers(runner), lambda request: answers.raw(body))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 415, 422, 451])
def test_4xx_is_final_at_once(make_runner: Callable[..., Any], answers: Any, status: int) -> None:
    """Rule: any 4xx but 429 is sent once and never again."""
    runner = make_runner()
    with pytest.raises(errors.ResponseError) as caught:
        runner.run(customers(runner), [answers.error(status)])
    assert caught.value.status == status
    assert caught.value.fate is errors.Fate.FINAL
    assert len(runner.sent) == 1
    assert runner.explained == []


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 599])
def test_each_5xx_is_tried_again(make_runner: Callable[..., Any], answers: Any, status: int) -> None:
    """Rule: any 5xx is tried again."""
    runner = make_runner()
    runner.run(customers(runner), [answers.error(status), answers.page("customers", [])])
    assert len(runner.sent) == 2


@pytest.mark.parametrize("status", [300, 304, 302])
def test_3xx_that_leads_nowhere_is_final(make_runner: Callable[..., Any], answers: Any, status: int) -> None:
    """Rule: a redirect without a Location is an error, never taken for a page."""
    runner = make_runner()
    with pytest.raises(errors.CustobarError, match=f"{status}"):
        runner.run(customers(runner), [answers.raw(b'{"customers":[]}', status)])


def test_the_log_line_of_a_retry_says_why_and_how_long(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: each unordinary wait explains itself in one line: what failed, how long, which attempt."""
    runner = make_runner(max_attempts=3)
    runner.run(customers(runner), [answers.error(503, "Maintenance."), answers.page("customers", [])])
    (wait,) = runner.explained
    for part in ("503", "customers", "Maintenance.", f"{wait.seconds:.1f} s", "attempt 1 of 3"):
        assert part in wait.reason
    assert "\n" not in wait.reason
