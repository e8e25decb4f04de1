"""From page to page: what is asked next, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.api import errors, paging
from airflow_provider_custobar.api.query import build_query

BASE = "https://acme.custobar.com/api/data/customers/"


def customers(runner: Any, **query: Any) -> Any:
    return paging.pages(runner.context, build_query("customers", **query))


def ids(runner: Any) -> list[str]:
    return [record["external_id"] for page in runner.pages for record in page.dicts()]


def rows(*names: str) -> list[dict[str, str]]:
    return [{"external_id": name} for name in names]


def test_pages_follow_next_url_to_the_letter(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: next_url is opaque: sent as it came, with nothing added, changed or decoded; absolute or relative."""
    runner = make_runner()
    odd = f"{BASE}?b=2&a=%2B+%2b&cursor=x%3D%3D&limit=7&&a="
    script = [
        answers.page("customers", rows("1"), odd),
        answers.page("customers", rows("2"), "?c=3"),
        answers.page("customers", rows("3")),
    ]
    runner.run(customers(runner, page_size=2), script)
    assert runner.urls == [f"{BASE}?limit=2&order=external_id", odd, f"{BASE}?c=3"]
    assert ids(runner) == ["1", "2", "3"]
    assert {request.method for request in runner.sent} == {"GET"}


def test_only_the_absence_of_a_next_page_ends_a_chain(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: empty and short pages may have successors; the last page may be empty or full."""
    runner = make_runner()
    script = [
        answers.page("customers", [], f"{BASE}?c=1"),
        answers.page("customers", rows("1"), f"{BASE}?c=2"),
        answers.page("customers", [], f"{BASE}?c=3"),
        answers.page("customers", [], f"{BASE}?c=4"),
        answers.page("customers", rows("2", "3"), f"{BASE}?c=5"),
        answers.page("customers", []),
    ]
    runner.run(customers(runner, page_size=2), script)
    assert ids(runner) == ["1", "2", "3"]
    assert len(runner.pages) == len(runner.sent) == 6, "the caller sees empty pages too, for its checkpoints"


@pytest.mark.parametrize("end", [b'{"customers":[]}', b'{"customers":[],"next_url":null}', b'{"customers":[],"next_url":""}'])
def test_absent_null_and_empty_next_url_all_end(make_runner: Callable[..., Any], answers: Any, end: bytes) -> None:
    """Rule: no next_url, null and an empty text mean the same."""
    runner = make_runner()
    runner.run(customers(runner), [answers.raw(end)])
    assert len(runner.sent) == 1


@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_page_that_comes_back_is_an_error(make_runner: Callable[..., Any], answers: Any, again: int) -> None:
    """Rule: a next_url that was asked for already is an error, not an endless loop; its page is not handed out as good."""
    runner = make_runner()
    urls = [f"{BASE}?limit=10000&order=external_id", f"{BASE}?c=1", f"{BASE}?c=2"]
    script = [answers.page("customers", rows("1"), urls[1]), answers.page("customers", rows("2"), urls[2])]
    with pytest.raises(errors.ProtocolError, match=r"customers.*never end"):
        runner.run(customers(runner), [*script, answers.page("customers", rows("3"), urls[again])])
    assert len(runner.sent) == 3
    assert ids(runner) == ["1", "2"]


def test_the_same_next_url_in_another_chain_is_no_repetition(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: chains are apart from each other; all are walked, each page knows its own."""
    runner = make_runner()
    steps = paging.pages(runner.context, build_query("events", event_types="BROWSE,MAIL_OPEN"))
    script = [answers.page("events", [{}], "/api/data/events/?c=1"), answers.page("events", [{}])] * 2
    runner.run(steps, script)
    assert [page.chain for page in runner.pages] == ["BROWSE", "BROWSE", "MAIL_OPEN", "MAIL_OPEN"]


def test_every_day_of_sales_is_asked_for(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: an empty day ends its own chain only; records are kept by their own time, wherever the API files them."""
    runner = make_runner()
    steps = paging.pages(runner.context, build_query("sales", date="2026-02-02"))
    script = [
        answers.page("sales", [{"external_id": "a", "sale_date": "2026-02-02T00:30:00Z"}]),
        answers.page("sales", []),
        answers.page(
            "sales",
            [{"external_id": "b", "sale_date": "2026-02-02T23:30:00Z"}, {"external_id": "c", "sale_date": "2026-02-03"}],
        ),
    ]
    runner.run(steps, script)
    assert [url.partition("sale_date=")[2][:10] for url in runner.urls] == ["2026-02-01", "2026-02-02", "2026-02-03"]
    assert ids(runner) == ["a", "b"]


@pytest.mark.parametrize("api_format", ["json", "csv"])
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/api/data/customers/?c=1",
        "http://acme.custobar.com/?c=1",
        "https://acme.custobar.com:8443/",
        "//evil.example/",
    ],
)
def test_a_foreign_next_url_is_not_asked(make_runner: Callable[..., Any], answers: Any, target: str, api_format: str) -> None:
    """Rule: a next page of another host, port or scheme is refused before a request is made."""
    runner = make_runner()
    page = answers.page("customers", rows("1"), target) if api_format == "json" else answers.csv("external_id\r\n1\r\n", target)
    with pytest.raises(errors.ProtocolError, match="next_url"):
        runner.run(customers(runner, api_format=api_format), [page])
    assert len(runner.sent) == 1


def test_a_trusted_hosts_next_url_is_asked(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: the connection may name further hosts for next_url; a relative next_url then stays there."""
    runner = make_runner(trusted_hosts=["app.custobar.com"])
    script = [
        answers.page("customers", [], "https://app.custobar.com/p/?c=1"),
        answers.page("customers", [], "?c=2"),
        answers.page("customers", []),
    ]
    runner.run(customers(runner), script)
    assert runner.urls[1:] == ["https://app.custobar.com/p/?c=1", "https://app.custobar.com/p/?c=2"]


def test_retries_do_not_repeat_or_lose_a_page(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: whatever fails in between, each page is handed out once and in order."""
    runner = make_runner()
    lost = errors.TransportError("No complete answer.")
    script = [
        lost,
        answers.page("customers", rows("1"), f"{BASE}?c=1"),
        answers.raw(b'{"customers":[{"external_id":"2"}'),
        answers.error(429, retry_after="1"),
        answers.page("customers", rows("2"), f"{BASE}?c=2"),
        answers.error(500),
        answers.page("customers", rows("3")),
    ]
    runner.run(customers(runner), script)
    assert ids(runner) == ["1", "2", "3"]
    assert runner.urls == [runner.urls[0]] * 2 + [f"{BASE}?c=1"] * 3 + [f"{BASE}?c=2"] * 2


CHANGED = [
    ("external_id,email", "email,external_id"),
    ("external_id,email", "external_id,email,city"),
    ("external_id,email", "external_id"),
    ("external_id,email", "external_id,Email"),
]


@pytest.mark.parametrize(("first", "later"), CHANGED)
def test_a_csv_header_that_changes_is_an_error(make_runner: Callable[..., Any], answers: Any, first: str, later: str) -> None:
    """Rule: other columns, or the same in another order, would put values under wrong names; the export stops."""
    runner = make_runner()
    script = [
        answers.csv(f"{first}\r\n1,a\r\n", f"{BASE}?c=1"),
        answers.csv(f"{later}\r\n{','.join('x' * (later.count(',') + 1))}\r\n"),
    ]
    with pytest.raises(errors.ProtocolError, match="columns of customers changed"):
        runner.run(customers(runner, api_format="csv"), script)
    assert len(runner.pages) == 1


def test_a_csv_header_that_changes_between_chains_is_an_error(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: the rows of all chains go under one header."""
    runner = make_runner()
    steps = paging.pages(runner.context, build_query("events", event_types="BROWSE,MAIL_OPEN", api_format="csv"))
    with pytest.raises(errors.ProtocolError, match="columns of events changed"):
        runner.run(steps, [answers.csv("type,path\r\nBROWSE,/\r\n"), answers.csv("type,email\r\nMAIL_OPEN,a\r\n")])


def test_csv_pages_are_walked_by_the_header(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: CSV pages follow X-Custobar-Next-Url; pages without rows, or without anything, are no reason to stop."""
    runner = make_runner()
    script = [
        answers.csv("", f"{BASE}?c=1"),
        answers.csv("external_id,email\r\n", f"{BASE}?c=2"),
        answers.csv("external_id,email\r\n1,a\r\n", f"{BASE}?c=3"),
        answers.csv("", f"{BASE}?c=4"),
        answers.csv("external_id,email\n2,b"),
    ]
    runner.run(customers(runner, api_format="csv"), script)
    assert ids(runner) == ["1", "2"]
    assert runner.urls[0] == f"{BASE}?limit=100000&format=csv&order=external_id"


@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_a_column_added_for_the_window_shows_on_no_page(make_runner: Callable[..., Any], answers: Any, api_format: str) -> None:
    """Rule: all pages that a caller gets have the columns that the user named, days without sales included."""
    runner = make_runner()
    query = build_query("sales", date="2026-02-02", fields=["external_id", "total"], api_format=api_format)  # type: ignore[arg-type]
    records = {"external_id": "a", "total": 5, "sale_date": "2026-02-02T10:00:00Z"}
    line = "external_id,total,sale_date\r\n"
    empty, full = answers.csv(line), answers.csv(f"{line}a,5,2026-02-02T10:00:00Z\r\n")
    if api_format == "json":
        empty, full = answers.page("sales", []), answers.page("sales", [records])
    runner.run(paging.pages(runner.context, query), [empty, full, empty])
    assert [set(record) for page in runner.pages for record in page.dicts()] == [{"external_id", "total"}]
    if api_format == "csv":
        assert {page.header for page in runner.pages} == {("external_id", "total")}
        assert {page.header_line for page in runner.pages} == {b"external_id,total\r\n"}


def test_plain_text_in_place_of_csv_is_no_empty_export(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a proxy's text, which any CSV reader takes for a header without rows, is not taken for "no customers"."""
    runner = make_runner(max_attempts=2)
    text = answers.csv("Service temporarily unavailable\n")
    with pytest.raises(errors.MalformedResponseError, match="none of their columns"):
        runner.run(customers(runner, api_format="csv"), [text, text])
