"""Going on where an earlier attempt stopped: the pages that were missing, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_custobar.api import errors, paging
from airflow_provider_custobar.api.pages import CsvPage, Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.api.selection import LONGEST_TAIL
from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tests.soak import SOAK

BASE = "https://acme.custobar.com/api/data/customers/"
HERE = Position(chain=0, url=f"{BASE}?c=7", header=(), seen=(), record=0, repeated=0)


def stored(position: Position) -> Position:
    """``position`` as it comes back from a store of JSON documents."""
    return msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(position))), Position)


def content(page: Page) -> tuple[object, ...]:
    """All of a page but the server's cursors, which differ from one asking to the next."""
    records = (page.header, page.header_line, page.body) if isinstance(page, CsvPage) else tuple(page.records)
    place = page.after and replace(page.after, url=bool(page.after.url))  # type: ignore[arg-type]
    return page.chain, page.fetched, page.rows, records, place


QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("customers", {"page_size": 7}),
    ("customers", {"page_size": 7, "fields": "email,city"}),
    ("products", {"page_size": 4}),
    ("events", {"page_size": 4}),
    ("events", {"page_size": 3, "window_start": "2026-02-05", "window_end": "2026-02-20", "fields": "type,customer_id"}),
    ("sales", {"page_size": 9}),
    ("sales", {"page_size": 2, "window_start": "2026-02-10", "window_end": "2026-02-14"}),
]


@pytest.fixture
def sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    return custobar_sandbox_factory(SandboxSettings(rate_limit=None), customers=24, products=15, events=24, sales=20)


def query_for(sandbox: CustobarSandbox, resource: str, arguments: dict[str, Any]) -> Query:
    if resource == "events":
        arguments = {**arguments, "event_types": sorted({record["type"] for record in sandbox.records("events")})}
    return build_query(resource, allow_unknown_names=True, **arguments)


STYLES = ["absolute", "relative", "empty pages"]
#: The first query in all styles and formats, the others in each format in one style; in make soak all in all.
VARIANTS = [
    (case, api_format, style)
    for number, (case, api_format) in enumerate(product(QUERIES, ["json", "csv"]))
    for style in STYLES
    if SOAK or number < 2 or style == STYLES[number % 3]
]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "api_format", "style"), VARIANTS, ids=str)
def test_after_every_page_the_rest_follows(
    make_any_client: Callable[..., Any],
    sandbox: CustobarSandbox,
    case: tuple[str, dict[str, Any]],
    api_format: str,
    style: str,
) -> None:
    """Rule: whichever page an attempt stopped at, a later one gets exactly those after it, record for record."""
    if style == "empty pages":
        sandbox.settings.empty_last_page = True
        sandbox.settings.short_pages = True
    else:
        sandbox.settings.next_url_style = style
    resource, arguments = case
    query = query_for(sandbox, resource, {**arguments, "api_format": api_format})
    client = make_any_client(sandbox.url, sandbox.token)
    whole = client.pages(query)
    assert len(whole) > 3
    assert [page.after is None for page in whole] == [False] * (len(whole) - 1) + [True]
    for number, page in enumerate(whole[:-1], 1):
        asked = len(sandbox.requests)
        rest = client.pages(query, after=stored(page.after))
        assert list(map(content, rest)) == list(map(content, whole[number:]))
        assert len(sandbox.requests) - asked == len(whole) - number, "nothing is asked for again"


class Scripted:
    """A tenant whose pages are given: page n lies behind cursor n."""

    def __init__(self, pages: list[list[object]], api_format: str = "json") -> None:
        self.pages = pages
        self.query = build_query("customers", api_format=api_format)  # type: ignore[arg-type]

    def run(self, make_runner: Callable[..., Any], answers: Any, after: Position | None = None) -> list[Page]:
        def answer(request: Any) -> Any:
            _, _, cursor = request.url.partition("?c=")
            number = int(cursor or 0)
            following = f"{BASE}?c={number + 1}" if number + 1 < len(self.pages) else None
            if self.query.api_format == "csv":
                return answers.csv("".join(f"{name}\r\n" for name in ["external_id", *self.pages[number]]), following)
            return answers.page("customers", [{"external_id": name} for name in self.pages[number]], following)

        runner = make_runner(requests_per_minute=100_000)
        runner.run(paging.pages(runner.context, self.query, after), answer)
        pages: list[Page] = runner.pages
        return pages


NAMES = st.sampled_from(["1", "2", "3", "4", "5", 1, 2, True, None, "", [1]])


# Each example makes runners of its own, so the fixtures keep nothing between them.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=st.lists(st.lists(NAMES, max_size=5), min_size=2, max_size=6))
def test_repeated_records_are_left_out_across_a_cut(
    make_runner: Callable[..., Any], answers: Any, pages: list[list[object]]
) -> None:
    """Rule: a continued run leaves out the very records that an undisturbed one leaves out, and counts them on."""
    tenant = Scripted(pages)
    whole = tenant.run(make_runner, answers)
    for number, page in enumerate(whole[:-1], 1):
        assert page.after is not None
        assert tenant.run(make_runner, answers, stored(page.after)) == whole[number:]


@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_a_record_pushed_over_the_cut_is_kept_once(make_runner: Callable[..., Any], answers: Any, api_format: str) -> None:
    """Rule: what stood at the end of the last page and stands on the next one again is not exported twice."""
    tenant = Scripted([["1", "2"], ["2", "3"], ["4"]], api_format)
    whole = tenant.run(make_runner, answers)
    assert whole[0].after is not None
    rest = tenant.run(make_runner, answers, stored(whole[0].after))
    assert [record["external_id"] for page in rest for record in page.dicts()] == ["3", "4"]
    assert rest[0].after is not None
    assert rest[0].after.repeated == 1


def test_the_memory_of_a_page_lasts_for_one_page(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: after a cut, an identity counts as seen for as long as in an undisturbed run: over empty pages, and then once."""
    tenant = Scripted([["1"], [], [], ["1", "2"], ["1"], ["1"]])
    whole = tenant.run(make_runner, answers)
    assert [page.rows for page in whole] == [1, 0, 0, 1, 1, 0]
    for number, page in enumerate(whole[:-1], 1):
        assert tenant.run(make_runner, answers, page.after) == whole[number:]


def test_a_position_stays_small_and_knows_the_end_of_the_page(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a position is under 25 KB whatever the page; the last 700 identities are recognised, earlier ones not."""
    names: list[object] = [f"customer-{number}" for number in range(10_000)]
    tenant = Scripted([names, [names[-1], names[-LONGEST_TAIL], names[-LONGEST_TAIL - 1], names[0]]])
    after = tenant.run(make_runner, answers)[0].after
    assert after is not None
    assert len(after.seen) == LONGEST_TAIL == 700
    assert len(json.dumps(msgspec.to_builtins(after))) < 25_000
    (rest,) = tenant.run(make_runner, answers, after)
    assert [record["external_id"] for record in rest.dicts()] == [names[-LONGEST_TAIL - 1], names[0]]
    assert "seen" not in repr(after), "a log line stays a line"


def run(runner: Any, script: list[Any], after: Position | None = HERE, **arguments: Any) -> None:
    runner.run(paging.pages(runner.context, build_query("customers", **arguments), after), script)


@pytest.mark.parametrize("status", [400, 404, 410, 413, 422])
def test_a_place_that_is_gone_is_told_apart(make_runner: Callable[..., Any], answers: Any, status: int) -> None:
    """Rule: where the API refuses the stored cursor, ExpiredCursorError says to start over, and why."""
    runner = make_runner()
    with pytest.raises(errors.ExpiredCursorError, match=rf"customers.*{status}.*Cursor expired") as caught:
        run(runner, [answers.error(503), answers.error(status, "Cursor expired.")])
    assert isinstance(caught.value.__cause__, errors.ResponseError)
    assert caught.value.__cause__.status == status
    assert caught.value.fate is errors.Fate.START_OVER
    assert runner.urls == [HERE.url] * 2


@pytest.mark.parametrize("api_format", ["json", "csv"])
@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_cursor_may_expire_in_the_middle_of_a_run(
    make_runner: Callable[..., Any], answers: Any, status: int, api_format: Any
) -> None:
    """Rule: what the API refuses after it has named it itself needs a fresh start; the first page of each series is final."""
    page = answers.page("events", [], "/api/data/events/?cursor=2")
    csv = answers.csv("type,date\r\n", "/api/data/events/?cursor=2")
    arguments = {"event_types": ["BROWSE", "MAIL_OPEN"], "api_format": api_format}
    runner = make_runner()
    script = [page if api_format == "json" else csv, answers.error(429), answers.error(status, "Cursor expired.")]
    with pytest.raises(errors.ExpiredCursorError, match=rf"events.*{status}.*Cursor expired"):
        runner.run(paging.pages(runner.context, build_query("events", **arguments)), script)
    last = answers.page("events", []) if api_format == "json" else answers.csv("type,date\r\n")
    runner = make_runner()
    with pytest.raises(errors.ResponseError) as caught:
        runner.run(paging.pages(runner.context, build_query("events", **arguments)), [last, answers.error(status)])
    assert caught.value.fate is errors.Fate.FINAL


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.AuthenticationError),
        (403, errors.AccessDeniedError),
        (429, errors.RateLimitedError),
        (500, errors.ServerError),
        (503, errors.ServerError),
    ],
)
def test_other_failures_of_a_continued_run_are_as_ever(
    make_runner: Callable[..., Any], answers: Any, status: int, kind: type[Exception]
) -> None:
    """Rule: no access, too fast and a failing server are no expired place; starting over would not help."""
    runner = make_runner(max_attempts=2)
    with pytest.raises(kind):
        run(runner, [answers.error(status)] * 2)
    runner = make_runner(max_attempts=1)
    with pytest.raises(errors.TransportError):
        run(runner, [errors.TransportError("No complete answer.")])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/data/customers/?c=7",
        "http://acme.custobar.com/?c=7",
        "https://acme.custobar.com:8443/",
        "//evil.example/",
        "https://acme.custobar.com@evil.example/",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_a_stored_url_is_not_trusted(make_runner: Callable[..., Any], url: str) -> None:
    """Rule: a stored page of another host, port or scheme is not asked; with a changed connection the run starts over."""
    runner = make_runner()
    with pytest.raises(errors.ExpiredCursorError) as caught:
        run(runner, [], after=replace(HERE, url=url))
    assert isinstance(caught.value.__cause__, errors.ProtocolError)
    assert runner.sent == []


def test_a_stored_foreign_url_is_not_connected_to(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, elsewhere: Any
) -> None:
    """Rule: neither client sends anything to a host that a store names."""
    with pytest.raises(errors.ExpiredCursorError, match=elsewhere.host):
        make_any_client(sandbox.url, sandbox.token).pages(
            build_query("customers"), after=replace(HERE, url=f"{elsewhere.url}/api/data/customers/?c=1")
        )
    assert elsewhere.seen == []
    assert sandbox.requests == []


def test_a_stored_url_of_a_trusted_host_is_asked(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: what may be a next page may be a stored one."""
    runner = make_runner(trusted_hosts=["app.custobar.com"])
    run(runner, [answers.page("customers", [])], after=replace(HERE, url="https://app.custobar.com/?c=1"))
    assert runner.urls == ["https://app.custobar.com/?c=1"]


@pytest.mark.parametrize("chain", [-1, 1, 99])
def test_a_position_of_another_query_is_refused(make_runner: Callable[..., Any], chain: int) -> None:
    """Rule: a chain that the query does not have is wrong input; nothing is asked."""
    runner = make_runner()
    with pytest.raises(errors.InvalidArgumentError, match="another query"):
        run(runner, [], after=replace(HERE, chain=chain))
    assert runner.sent == []


def test_a_damaged_position_is_no_beginning() -> None:
    """Rule: a stored document with something missing, or of a wrong type, does not pass for a position."""
    whole = msgspec.to_builtins(HERE)
    for name in whole:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({key: value for key, value in whole.items() if key != name}, Position)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**whole, name: None}, Position)


def test_columns_may_not_change_over_a_cut(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: the CSV header of the earlier attempt holds for the later one."""
    after = replace(HERE, header=("external_id", "email"))
    page = answers.csv("external_id,email\r\n1,a\r\n")
    run(make_runner(), [page], after=after, api_format="csv")
    with pytest.raises(errors.ProtocolError, match="columns of customers changed"):
        run(make_runner(), [answers.csv("email,external_id\r\na,1\r\n")], after=after, api_format="csv")


def test_a_repeated_page_is_found_in_a_continued_run(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: within one attempt no page is fetched twice, the one that it began with included."""
    runner = make_runner()
    script = [answers.page("customers", [], f"{BASE}?c=8"), answers.page("customers", [], HERE.url)]
    with pytest.raises(errors.ProtocolError, match="never end"):
        run(runner, script)
    assert len(runner.sent) == 2


def test_records_are_counted_on_over_a_cut(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a message names a record by its number in its chain, whichever attempt fetched those before it."""
    query = build_query("events", event_types="BROWSE", date="2026-02-01", page_size=2)
    good, bad = {"date": "2026-02-01T10:00:00Z"}, {"date": "soon"}
    runner = make_runner()
    with pytest.raises(errors.ProtocolError, match="Record 4 of events BROWSE"):
        runner.run(
            paging.pages(runner.context, query),
            [answers.page("events", [good] * 2, f"{BASE}?c=1"), answers.page("events", [good, bad])],
        )
    after = runner.pages[0].after
    with pytest.raises(errors.ProtocolError, match="Record 4 of events BROWSE"):
        runner.run(paging.pages(runner.context, query, after), [answers.page("events", [good, bad])])
