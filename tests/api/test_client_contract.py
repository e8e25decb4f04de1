"""One contract for both clients, over real sockets against the sandbox: every record once, whatever happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import (
    AccessDeniedError,
    AuthenticationError,
    CustobarError,
    MalformedResponseError,
)
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.watch.event_check import build_event_check


@pytest.fixture
def sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    return custobar_sandbox_factory(SandboxSettings(rate_limit=None), customers=40, products=25, events=80, sales=60)


def identity(resource: str, record: Any) -> tuple[str, ...]:
    keys = ("type", "date", "customer_id") if resource == "events" else ("external_id",)
    return tuple(str(record.get(key) or "") for key in keys)


def stored(sandbox: CustobarSandbox, resource: str) -> Counter[tuple[str, ...]]:
    return Counter(identity(resource, record) for record in sandbox.records(resource))


def got(pages: list[Page], resource: str) -> Counter[tuple[str, ...]]:
    return Counter(identity(resource, record) for page in pages for record in page.dicts())


def everything(sandbox: CustobarSandbox, resource: str, **arguments: Any) -> Query:
    if resource == "events":
        arguments["event_types"] = sorted({record["type"] for record in sandbox.records("events")})
    return build_query(resource, allow_unknown_names=True, **arguments)


@pytest.mark.parametrize("api_format", ["json", "csv"])
@pytest.mark.parametrize("resource", ["customers", "events", "sales", "products"])
def test_every_row_comes_once(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, resource: str, api_format: str
) -> None:
    """Rule: over many small pages, JSON or CSV, each record of the tenant arrives exactly once."""
    pages = make_any_client(sandbox.url, sandbox.token).pages(everything(sandbox, resource, api_format=api_format, page_size=7))
    expected = stored(sandbox, resource)
    assert sum(expected.values()) >= 25
    assert got(pages, resource) == expected
    assert len(pages) == len(sandbox.requests) > 3
    assert sum(page.rows for page in pages) == sum(expected.values())


@pytest.mark.parametrize("api_format", ["json", "csv"])
@pytest.mark.parametrize(
    "setting",
    [
        {"empty_last_page": True},
        {"short_pages": True},
        {"empty_last_page": True, "short_pages": True},
        {"next_url_style": "relative"},
        {"next_url_style": "offset"},
        {"include_count": False},
        {"gzip_responses": True},
        {"csv_line_end": "lf", "csv_bom": True},
    ],
    ids=str,
)
def test_every_row_comes_once_however_the_api_pages(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, setting: dict[str, Any], api_format: str
) -> None:
    """Rule: only the absence of a next page ends an export; the shape of next_url and of the body does not matter."""
    for name, value in setting.items():
        setattr(sandbox.settings, name, value)
    pages = make_any_client(sandbox.url, sandbox.token).pages(
        everything(sandbox, "customers", api_format=api_format, page_size=6)
    )
    assert got(pages, "customers") == stored(sandbox, "customers")


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("drop", {}),
    ("drop_after", {}),
    ("truncate", {"fraction": 0.5}),
    ("truncate", {"fraction": 0.0}),
    ("status", {"status": 503}),
    ("status", {"status": 500, "body_style": "html"}),
    ("status", {"status": 502, "body_style": "empty"}),
    ("status", {"status": 429}),
    ("status", {"status": 429, "retry_after": 3}),
    ("html", {}),
    ("bad_utf8", {}),
    ("bom", {}),
    ("redirect", {}),
]
JSON_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("missing_key", {}),
    ("wrong_key_type", {}),
    ("cut_json", {}),
    ("pretty_json", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("api_format", "kind", "details"),
    [("csv", *fault) for fault in FAULTS] + [("json", *fault) for fault in FAULTS + JSON_FAULTS],
)
def test_faults_on_the_way_lose_and_double_nothing(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, kind: str, details: dict[str, Any], api_format: str
) -> None:
    """Rule: whatever breaks on the first, a middle and the last page, each record still arrives exactly once."""
    for after in (0, 2, 5):
        sandbox.faults.add(Fault(kind, after=after, **details))
    client = make_any_client(sandbox.url, sandbox.token)
    pages = client.pages(everything(sandbox, "customers", api_format=api_format, page_size=8))
    assert got(pages, "customers") == stored(sandbox, "customers")
    if kind not in ("bom", "pretty_json", "redirect"):
        assert len(client.long_waits) == 3
        if details.get("status") == 429:
            assert client.long_waits == [details.get("retry_after", 60)] * 3


@pytest.mark.parametrize(
    ("kind", "details"), [("delay", {"seconds": 0.5}), ("slow_body", {"seconds": 1.0, "chunks": 2})], ids=["answer", "body"]
)
def test_silence_is_cut_off_by_the_timeout(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, kind: str, details: dict[str, Any]
) -> None:
    """Rule: every request has a timeout, before the answer and within it; a silent server is asked again."""
    sandbox.faults.add(Fault(kind, **details))
    client = make_any_client(sandbox.url, sandbox.token, timeout=0.15)
    assert got(client.pages(everything(sandbox, "products")), "products") == stored(sandbox, "products")
    assert len(client.long_waits) == 1


@pytest.mark.slow
@pytest.mark.parametrize("style", ["z", "naive", "offset"])
@pytest.mark.parametrize("resource", ["events", "sales"])
def test_consecutive_days_hold_every_record_once(
    make_any_client: Callable[..., Any],
    custobar_sandbox_factory: Callable[..., CustobarSandbox],
    resource: str,
    style: str,
) -> None:
    """Rule: exactly the tenant's day: day after day over a DST change, each record is in one day's export and no other."""
    settings = SandboxSettings(rate_limit=None, tenant_timezone="Europe/Helsinki", datetime_style=style)
    sandbox = custobar_sandbox_factory(settings, customers=20, events=40, sales=40, days=4, end_date="2026-03-30")
    edges = [
        "2026-03-27T22:00:00Z",
        "2026-03-28T21:59:59Z",
        "2026-03-28T22:00:00Z",
        "2026-03-29T20:59:59Z",
        "2026-03-29T21:00:00Z",
    ]
    if resource == "events":
        sandbox.load("events", [{"type": "BROWSE", "date": edge, "customer_id": f"edge{edge}"} for edge in edges])
    else:
        sandbox.load("sales", [{"external_id": f"edge{edge}", "sale_external_id": edge, "sale_date": edge} for edge in edges])
    client = make_any_client(sandbox.url, sandbox.token, timezone="Europe/Helsinki")
    total: Counter[str] = Counter()
    for offset in range(-1, 7):
        day = date(2026, 3, 26) + timedelta(days=offset)
        query = everything(sandbox, resource, date=day, timezone="Europe/Helsinki")
        for (*_, name), count in got(client.pages(query), resource).items():
            total[name] += count
    # The style changes how a date is written, so records are told apart by who they belong to.
    assert total == Counter(identity(resource, record)[-1] for record in sandbox.records(resource))


def test_the_answer_to_a_check_is_the_same(make_any_client: Callable[..., Any], sandbox: CustobarSandbox) -> None:
    """Rule: both clients find events, and stop asking when the answer is known."""
    sandbox.load("events", [{"type": "MAIL_OPEN", "date": "2026-02-10T10:00:00Z", "customer_id": "x"}])
    client = make_any_client(sandbox.url, sandbox.token)
    found = client.check(build_event_check(["MAIL_OPEN", "BROWSE"], date="2026-02-10"))
    assert found.satisfied
    assert list(found.by_type) == ["MAIL_OPEN"]
    assert len(sandbox.requests) == 1
    assert not client.check(build_event_check(["MAIL_OPEN"], date="2027-02-10")).satisfied


@pytest.fixture
def quiet(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """A tenant with an event a minute on 2 January 2020, and nothing else."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    start = datetime(2020, 1, 2, tzinfo=UTC)
    dates = [(start + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ") for number in range(1440)]
    sandbox.load("events", [{"type": "BROWSE", "date": date, "customer_id": date} for date in dates])
    return sandbox


FOREVER = timedelta.max.total_seconds()


@pytest.mark.parametrize(
    ("day", "settle", "satisfied", "requests"),
    [
        ("2020-01-01", 3600.0, True, 0),
        ("2020-01-01", FOREVER, True, 1),
        ("2020-01-02", FOREVER, False, 1),
        ("2200-01-01", 0.0, False, 0),
    ],
)
def test_both_clients_tell_whether_a_window_is_complete(
    make_any_client: Callable[..., Any], quiet: CustobarSandbox, *, day: str, settle: float, satisfied: bool, requests: int
) -> None:
    """Rule: by the real clock, a window is complete when it has settled or a later event is there, and never before its end."""
    client = make_any_client(quiet.url, quiet.token)
    check = build_event_check("BROWSE", date=day, wait_for="complete", settle=settle)
    assert client.check(check).satisfied is satisfied
    assert len(quiet.requests) == requests


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "details"), [*FAULTS, *JSON_FAULTS])
def test_faults_on_the_way_change_no_answer(
    make_any_client: Callable[..., Any], quiet: CustobarSandbox, kind: str, details: dict[str, Any]
) -> None:
    """Rule: whatever breaks on the first and on a later page, a check finds the same."""
    for after in (0, 1):
        quiet.faults.add(Fault(kind, after=after, **details))
    check = build_event_check("BROWSE", date="2020-01-02", min_events=1100)
    found = make_any_client(quiet.url, quiet.token).check(check).by_type["BROWSE"]
    assert (found.count, found.first, found.last) == (1100, "2020-01-02T05:40:00Z", "2020-01-02T23:59:00Z")


def test_a_large_answer_is_read_like_a_small_one(make_any_client: Callable[..., Any], quiet: CustobarSandbox) -> None:
    """Rule: pages of some hundred kilobytes, which the asynchronous client reads in a thread, count and fail as others do."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    dates = [(start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ") for number in range(5000)]
    quiet.load("events", [{"type": "MAIL_OPEN", "date": date, "customer_id": date} for date in dates])
    client = make_any_client(quiet.url, quiet.token, max_attempts=1)
    check = build_event_check("MAIL_OPEN", date="2020-01-01", min_events=5000)
    assert client.check(check).satisfied
    (record,) = quiet.requests
    assert record.response_bytes > 200_000
    quiet.faults.add(Fault("truncate", fraction=0.9))
    with pytest.raises(CustobarError):
        client.check(check)
    quiet.faults.add(Fault("cut_json"))
    with pytest.raises(MalformedResponseError, match="events"):
        client.check(check)


@pytest.mark.parametrize(("token", "error"), [("APIWRONG", AuthenticationError), ("upload", AccessDeniedError)])
def test_a_check_that_is_refused_fails_at_once(
    make_any_client: Callable[..., Any], quiet: CustobarSandbox, token: str, error: type[CustobarError]
) -> None:
    """Rule: a wrong token, or one without the scope, is no answer but an error, after one request."""
    client = make_any_client(quiet.url, quiet.upload_token if token == "upload" else token)
    with pytest.raises(error):
        client.check(build_event_check("BROWSE", date="2020-01-02"))
    assert len(quiet.requests) == 1
