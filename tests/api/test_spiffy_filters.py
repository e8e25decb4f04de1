"""What is asked of a Spiffy Stores shop, filters and searches, and how fast: as the store and the connection allow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.responses import Response
from airflow_provider_custobar.api.spiffy.client import SpiffyStoresClient
from airflow_provider_custobar.api.spiffy.filters import FILTERS, build_filters
from airflow_provider_custobar.hooks.spiffy_stores import SpiffyStoresHook
from airflow_provider_custobar.sandbox import SpiffyStoresSandbox, SpiffyStoresSettings
from tests.api.conftest import Answers
from tests.api.test_spiffy_flow import by_hand, config_for, page

MOMENTS = ("created_at_min", "created_at_max", "updated_at_min", "updated_at_max")


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("ids", [1001, 1002], "1001,1002"),
        ("ids", (1001, "1002"), "1001,1002"),
        ("ids", {1001}, "1001"),
        ("ids", frozenset({1001}), "1001"),
        ("ids", 1001, "1001"),
        ("ids", "1001", "1001"),
        ("ids", " 1001 , 1002", "1001,1002"),
        ("wholesale_status", "wholesale", "wholesale"),
        ("wholesale_status", "retail", "retail"),
        ("marketing_status", "accepts_marketing", "accepts_marketing"),
        ("marketing_status", "rejects_marketing", "rejects_marketing"),
        ("updated_at_min", "2026-02-20", "2026-02-20 00:00"),
        ("updated_at_min", "2026-02-20T10:30:00+10:00", "2026-02-20 00:30"),
        ("updated_at_min", "2026-02-20T10:30:00Z", "2026-02-20 10:30"),
        ("updated_at_min", date(2026, 2, 20), "2026-02-20 00:00"),
        ("updated_at_max", datetime.fromisoformat("2026-02-20T10:30"), "2026-02-20 10:30"),
        ("created_at_min", datetime(2026, 7, 1, 0, 0, tzinfo=ZoneInfo("Europe/Helsinki")), "2026-06-30 21:00"),
        ("created_at_max", datetime(2026, 2, 20, 9, 0, tzinfo=timezone(timedelta(hours=10))), "2026-02-19 23:00"),
    ],
)  # fmt: skip
def test_forms(name: str, value: Any, sent: str) -> None:
    """Rule: each filter is taken in all its forms and sent in the one that the API documents, times in UTC."""
    assert build_filters({name: value}) == {name: sent}


@pytest.mark.parametrize(
    ("name", "second", "sent"),
    [
        ("updated_at_min", 59, "2026-02-20 23:59"),
        ("created_at_min", 1, "2026-02-20 23:59"),
        ("updated_at_max", 1, "2026-02-21 00:00"),
        ("created_at_max", 59, "2026-02-21 00:00"),
        ("updated_at_max", 0, "2026-02-20 23:59"),
        ("updated_at_min", 0, "2026-02-20 23:59"),
    ],
)
def test_minutes_are_rounded_outwards(name: str, second: int, sent: str) -> None:
    """Rule: a period of seconds is asked for in whole minutes that hold it."""
    assert build_filters({name: datetime(2026, 2, 20, 23, 59, second, tzinfo=UTC)}) == {name: sent}


@given(st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2100-01-01")), st.integers(-14 * 60, 14 * 60))
def test_every_moment_lies_within_what_is_asked_for(moment: datetime, minutes: int) -> None:
    """Rule: whatever the zone and the fraction, what is asked for holds the moment, and not a minute more than it must."""
    there = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    sent = build_filters({"updated_at_min": there, "updated_at_max": there.isoformat()})
    least, most = (datetime.fromisoformat(sent[f"updated_at_{end}"]).replace(tzinfo=UTC) for end in ("min", "max"))
    assert least <= there <= most
    assert there - least < timedelta(minutes=1) > most - there


@pytest.mark.parametrize(
    ("filters", "argument", "said"),
    [
        ({"updated_at_mni": "2026-02-20"}, "filters", r"'updated_at_mni'.*updated_at_max\. Did you mean 'updated_at_min'\?"),
        ({"Marketing_Status": "x"}, "filters", r"Did you mean 'marketing_status'\?"),
        ({"since_id": 5}, "filters", r"'since_id' is not accepted: give some of ids, wholesale_status"),
        ({"limit": 5}, "filters", "limit"),
        ({5: 5}, "filters", "filters=5"),
        ({"wholesale_status": "both"}, "wholesale_status", "='both' is not accepted: give wholesale or retail"),
        ({"wholesale_status": True}, "wholesale_status", "=True"),
        ({"wholesale_status": None}, "wholesale_status", "=None"),
        ({"marketing_status": ["accepts_marketing"]}, "marketing_status", "give accepts_marketing or rejects_marketing"),
        ({"ids": []}, "ids", r"ids=\[\] is not accepted: give customers' ids: a list of numbers, or a text with commas"),
        ({"ids": ""}, "ids", "ids=''"),
        ({"ids": "1,,2"}, "ids", "ids='1,,2'"),
        ({"ids": [1, -2]}, "ids", "-2"),
        ({"ids": [1.5]}, "ids", "1.5"),
        ({"ids": True}, "ids", "ids=True"),
        ({"ids": [None]}, "ids", "None"),
        ({"ids": None}, "ids", "ids=None"),
        ({"ids": {"a": 1}}, "ids", "'a'"),
        *(({name: "yesterday"}, name, "'yesterday' is not accepted: give a date") for name in MOMENTS),
        ({"updated_at_min": ""}, "updated_at_min", "=''"),
        ({"updated_at_min": "2026-02-30"}, "updated_at_min", "2026-02-30"),
        ({"updated_at_min": 1_770_000_000}, "updated_at_min", "1770000000"),
        ({"updated_at_min": None}, "updated_at_min", "None"),
    ],
)  # fmt: skip
def test_wrong_filters(filters: dict[str, Any], argument: str, said: str) -> None:
    """Rule: what is not accepted is told with its name, its value and what is; a name nearly right with the right one."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        build_filters(filters)
    assert caught.value.argument == argument


@pytest.mark.parametrize("digits", ["١٢", "１２"])  # noqa: RUF001 - the point
def test_ids_are_ascii_digits(digits: str) -> None:
    """Rule: digits of other scripts, which the store refuses, are no ids."""
    with pytest.raises(InvalidArgumentError, match="ids"):
        build_filters({"ids": digits})


@pytest.mark.parametrize(
    ("name", "value"), [("updated_at_min", "0001-01-01T00:00:00+10:00"), ("updated_at_max", "9999-12-31T23:59:59-10:00")]
)
def test_moments_at_the_ends_of_time(name: str, value: Any) -> None:
    """Rule: a moment that has no minute in UTC is refused like any other wrong one."""
    with pytest.raises(InvalidArgumentError, match=name):
        build_filters({name: value})


@pytest.mark.parametrize("filters", ["ids=1", ["ids"], [("ids", 1)], 5])
def test_filters_are_a_mapping(filters: Any) -> None:
    """Rule: filters that are no mapping, such as a template's text, are refused by name."""
    with pytest.raises(InvalidArgumentError, match="filters="):
        build_filters(filters)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("country:Australia total_spent:>100 -state:declined", "country:Australia total_spent:>100 -state:declined"),
        ("  city:Cairns\n", "city:Cairns"),
        ('city:"Gold Coast"', 'city:"Gold Coast"'),
        ("smith", "smith"),
        ({"country": "Australia", "-state": "declined"}, "country:Australia -state:declined"),
        ({"total_spent": ">100"}, "total_spent:>100"),
        ({"total_spent": Decimal("12.5"), "orders_count": 3}, "total_spent:12.5 orders_count:3"),
    ],
)
def test_searches(query: Any, sent: str) -> None:
    """Rule: a search is a text, or its terms by name with a minus before what must not be; filters go beside it."""
    assert build_filters(query=query) == {"query": sent}
    assert build_filters({"ids": 7}, query=query) == {"ids": "7", "query": sent}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "query='' is not accepted: give a search, such as country:Australia"),
        (" \n", "give a search"),
        ({}, "give a search"),
        (5, "query=5"),
        (["country:Australia"], "query="),
        ({"city": "Gold Coast"}, "names and values with spaces need the whole search as a text"),
        ({"first name": "x"}, "names and values with spaces"),
        ({"": "x"}, "names"),
        ({"-": "x"}, "names"),
        ({"city": ""}, "names"),
    ],
)
def test_wrong_searches(query: Any, said: str) -> None:
    """Rule: a search that would mean everything, or something else, is refused."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        build_filters(query=query)
    assert caught.value.argument == "query"


def test_nothing_asked_for() -> None:
    """Rule: without filters everybody is meant, and nothing is sent; every documented filter is known."""
    assert build_filters() == build_filters({}) == build_filters(None, query=None) == {}
    assert set(FILTERS) == {"ids", "wholesale_status", "marketing_status", *MOMENTS}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("mystore", "https://mystore.spiffystores.com"),
        ("mystore.spiffystores.com", "https://mystore.spiffystores.com"),
        ("https://mystore.spiffystores.com/", "https://mystore.spiffystores.com"),
        ("https://mystore.spiffystores.com/api", "https://mystore.spiffystores.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
@pytest.mark.parametrize(("login", "scheme"), [("key", "Basic a2V5OnNlY3JldA=="), (None, "Bearer secret")])
def test_connections(connect: Callable[[str, str], None], host: str, url: str, login: str | None, scheme: str) -> None:
    """Rule: a store is named shortly, by its host or its URL; with a login it is a private app's key, else a token."""
    document = {"conn_type": "spiffy_stores", "host": host, "login": login, "password": "secret"}
    connect("shop", json.dumps(document))
    config = SpiffyStoresHook("shop").get_config()
    assert (config.base_url, config.authorization) == (url, scheme)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": None}, "password=(not shown) is not accepted: put the private app's API key into the connection's login"),
        ({"host": None}, "host=None is not accepted: give the store's short name (mystore), a host name (mystore.spiffystores"),
        ({"extra": {"timeout": "long"}}, "extra timeout='long'"),
        ({"login": None, "extra": {"auth_scheme": "Token"}}, "extra auth_scheme='Token' is not accepted: give Bearer"),
    ],
)
def test_wrong_connections(connect: Callable[[str, str], None], changes: dict[str, Any], said: str) -> None:
    """Rule: a field that is missing or wrong is told, when the button is pressed and when the hook is used."""
    connect(
        "shop", json.dumps({"conn_type": "spiffy_stores", "host": "mystore", "login": "k", "password": "secretive"} | changes)
    )
    is_good, message = SpiffyStoresHook("shop").test_connection()
    assert not is_good
    assert said in message
    assert "secretive" not in message
    with pytest.raises(InvalidArgumentError):
        SpiffyStoresHook("shop").get_customers()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda hook: hook.get_pages(page_size=51), r"page_size=51.*1 to 50 \(Spiffy Stores' limit\)"),
        (lambda hook: hook.get_pages(page_size=0), "page_size=0"),
        (lambda hook: hook.get_customers(filters={"state": "x"}), "filters='state'"),
        (lambda hook: hook.search_customers(""), "query=''"),
        (lambda hook: hook.count_customers({"ids": "x"}), "ids='x'"),
        (lambda hook: hook.get_customer("../store"), "customer_id="),
        (lambda hook: hook.get_customer(0), "customer_id=0"),
        (lambda hook: hook.update_customer(True, {"note": "x"}), "customer_id=True"),
        (lambda hook: hook.update_customer(1, {}), "changes='dict'.*give the customer's fields by name"),
        (lambda hook: hook.create_customer([]), "customer='list'"),
        (lambda hook: hook.delete_customer(None), "customer_id=None"),
    ],
)
def test_wrong_arguments(
    spiffy_sandbox: SpiffyStoresSandbox,
    connect: Callable[[str, str], None],
    call: Callable[[SpiffyStoresHook], object],
    said: str,
) -> None:
    """Rule: wrong arguments are told at the call, before any request."""
    connect("spiffy_stores_default", spiffy_sandbox.airflow_connection())
    with pytest.raises(InvalidArgumentError, match=said):
        call(SpiffyStoresHook())
    assert spiffy_sandbox.requests == []


def limited(
    remaining: int,
    seconds: float,
    *,
    period: float = 300,
    reply: Response | None = None,
    join: str = "\n",
    more: Mapping[str, str] | None = None,
) -> Response:
    until = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    value = json.dumps({"name": "API", "period": period, "limit": 500, "remaining": remaining, "until": until})
    wide = json.dumps({"name": "HTTP", "period": 3600, "limit": 9000, "remaining": 77, "until": until})
    base = reply or page(1)
    return Response(base.status, {**base.headers, "x-ratelimit": f"{wide}{join}{value}", **(more or {})}, base.body)


def test_nothing_left_holds_the_next_request() -> None:
    """Rule: when nothing remains, the next request waits until the limit is over, and no longer than its period."""
    for seconds, period, waited in ((20, 300, 20), (3000, 300, 300), (-5, 300, 0)):
        runner = by_hand([limited(0, seconds, period=period), page()])
        assert runner.started[1] - runner.started[0] == pytest.approx(waited, abs=1)
        assert runner.explained == []
    runner = by_hand([limited(1, 20), page()])
    assert runner.started[1] - runner.started[0] < 0.01


@pytest.mark.parametrize("join", ["\n", ", ", " ", "\r\n "])
def test_of_two_limiters_the_one_that_is_used_up_counts(join: str) -> None:
    """Rule: limiters that are joined in one header, however, are all read."""
    runner = by_hand([limited(0, 20, join=join), page()])
    assert runner.started[1] - runner.started[0] == pytest.approx(20, abs=1)


@pytest.mark.parametrize(("headers", "waited"), [({"retry-after": "7"}, 7), ({"retry-after": "soon"}, 40), ({}, 40)])
def test_a_429_waits_as_long_as_it_says(headers: dict[str, str], waited: float) -> None:
    """Rule: a 429 waits for Retry-After, else until the limit is over; without either, a minute."""
    refused = Answers.raw(b"API rate limit exceeded.", 429, "text/plain")
    runner = by_hand([limited(3, 40, reply=refused, more=headers) if headers.get("retry-after") == "7" else
                      limited(0, 40, reply=refused, more=headers), page(1), page()])  # fmt: skip
    assert runner.started[1] - runner.started[0] == pytest.approx(waited, abs=1)
    assert len(runner.explained) == 1
    assert "API rate limit exceeded." in runner.explained[0].reason
    runner = by_hand([refused, page(1), page()])
    assert runner.started[1] - runner.started[0] == 60


BAD_HEADERS = [
    "", "{", "0", "null", "[]", "{}", "{" * 9_000, "NaN", '{"remaining":null}', '{"remaining":0}',
    '{"remaining":0,"until":"tomorrow"}', '{"remaining":"x","until":1}',
    '{"remaining":0,"until":"2026-99-99T00:00:00Z","period":1}',
]  # fmt: skip


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_a_header_that_cannot_be_read_does_not_matter(header: str) -> None:
    """Rule: a limit that is not understood is none."""
    runner = by_hand([Response(200, {"x-ratelimit": header}, page(1).body), page()])
    assert runner.started[1] - runner.started[0] < 0.01
    assert runner.pages == [[{"id": 1}]]


@pytest.mark.slow
@pytest.mark.parametrize("header", ["one", "two_lines", "two_folded", "malformed", "missing"])
def test_a_small_limit_is_kept(spiffy_sandbox_factory: Callable[..., SpiffyStoresSandbox], header: str) -> None:
    """Rule: a run over a store that grants little comes to its end, with next to no refusals where limits are told."""
    store = spiffy_sandbox_factory(SpiffyStoresSettings(rate_limit=5, rate_period=0.5, rate_header=header), customers=11)
    config = config_for(store.url, store.password, store.key)
    with SpiffyStoresClient(config) as client:
        assert [c["id"] for found in client.pages({}, 1) for c in found] == [c["id"] for c in store.customers()]
    refused = sum(record.status == 429 for record in store.requests)
    assert refused <= (0 if header in ("one", "two_lines", "two_folded") else 3)


def test_the_connections_pace_is_kept(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: requests start no closer together than requests_per_minute allows."""
    store = spiffy_sandbox
    config = config_for(store.url, store.password, store.key, requests_per_minute=600)
    begun = time.monotonic()
    with SpiffyStoresClient(config) as client:
        assert len(list(client.pages({}))) == 3
    assert time.monotonic() - begun >= 0.4
    at = [record.at for record in store.requests]
    assert len(at) == 5
    assert at[-1] - at[0] >= 0.38
