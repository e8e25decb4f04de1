"""How a query is cut into series of requests, and what each request says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_custobar.api.query import Query, Role, build_query
from airflow_provider_custobar.api.resources import EVENT_TYPES, READABLE, RESOURCES


def sent(query: Query) -> list[tuple[str, dict[str, str]]]:
    """Label and decoded parameters of each chain; no parameter may stand there twice."""
    found = []
    for chain in query.chains():
        pairs = parse_qsl(urlsplit(chain.path(query.resource)).query, keep_blank_values=True)
        assert len(pairs) == len(dict(pairs))
        found.append((chain.label, dict(pairs)))
    return found


@pytest.mark.parametrize("resource", ["customers", "products"])
def test_a_snapshot_is_one_chain_in_order_of_the_identifier(resource: str) -> None:
    """Rule: customers and products are one series, ordered by external_id unless the user orders otherwise."""
    query = build_query(resource)
    (chain,) = query.chains()
    assert chain.path(query.resource).startswith(f"/api/data/{resource}/?")
    assert sent(query) == [("", {"limit": "10000", "order": "external_id"})]
    assert sent(build_query(resource, order="-external_id"))[0][1]["order"] == "-external_id"


def test_page_size_is_the_apis_maximum_by_default() -> None:
    """Rule: limit is 10,000 for JSON and 100,000 for CSV, the format is named for CSV only, and both maxima are accepted."""
    assert sent(build_query("customers"))[0][1]["limit"] == "10000"
    csv = sent(build_query("customers", api_format="csv"))[0][1]
    assert (csv["limit"], csv["format"]) == ("100000", "csv")
    assert "format" not in sent(build_query("customers"))[0][1]
    assert sent(build_query("customers", page_size=10_000))[0][1]["limit"] == "10000"
    assert sent(build_query("customers", page_size="100000", api_format="csv"))[0][1]["limit"] == "100000"
    assert sent(build_query("customers", page_size=1))[0][1]["limit"] == "1"


def test_events_of_a_window_are_asked_for_by_type_and_beside_it_for_themselves() -> None:
    """Rule: for each event type, in the user's order, the days beside the window are series of their own; one more series
    holds all of them together, for where that is better. Where the user orders, there is that one series.
    """
    query = build_query("events", event_types="MAIL_OPEN, BROWSE", date="2026-03-01")
    days = [(parameters["date.gte"][5:], parameters["date.lte"][5:]) for _, parameters in sent(query)]
    of_one_type = [("02-28", "02-28"), ("03-01", "03-01"), ("03-02", "03-02"), ("02-28", "03-02")]
    assert days == 2 * of_one_type
    roles = [Role.BEFORE, Role.MAIN, Role.AFTER, Role.ALL]
    assert [chain.role for chain in query.chains()] == 2 * roles
    assert [label for label, _ in sent(query)] == 4 * ["MAIL_OPEN"] + 4 * ["BROWSE"]
    ((_, ordered),) = sent(build_query("events", event_types="BROWSE", date="2026-03-01", order="path"))
    assert (ordered["date.gte"], ordered["date.lte"], ordered["order"]) == ("2026-02-28", "2026-03-02", "path")


def test_events_without_a_period_are_asked_for_without_dates() -> None:
    """Rule: no window, no date filter; the API's own filters may then be used by hand."""
    assert sent(build_query("events", event_types=["BROWSE"])) == [("BROWSE", {"type": "BROWSE", "limit": "10000"})]
    by_hand = build_query("events", event_types=["BROWSE"], filters={"date.gte": date(2026, 2, 1)})
    assert sent(by_hand)[0][1]["date.gte"] == "2026-02-01"


def test_sales_are_one_chain_for_each_day_widened_by_one() -> None:
    """Rule: sales have no date range, so each tenant's day is one series by equality, one day wider on both sides."""
    query = build_query("sales", window_start="2026-02-27", window_end="2026-03-01", filters={"sale_state": "COMPLETE"})
    days = ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"]
    assert [label for label, _ in sent(query)] == days
    assert [parameters["sale_date"] for _, parameters in sent(query)] == days
    assert {parameters["sale_state"] for _, parameters in sent(query)} == {"COMPLETE"}


def test_a_window_is_widened_in_the_tenants_days() -> None:
    """Rule: the days asked for are the tenant's, not UTC's."""
    query = build_query(
        "events",
        event_types="BROWSE",
        window_start=datetime(2026, 2, 1, 22, 30, tzinfo=UTC),  # 00:30 on the 2nd in Helsinki
        window_end=datetime(2026, 2, 2, 22, 0, tzinfo=UTC),  # midnight that ends the 2nd
        timezone="Europe/Helsinki",
    )
    (_, parameters) = sent(query)[-1]
    assert (parameters["date.gte"], parameters["date.lte"]) == ("2026-02-01", "2026-02-03")


def test_a_plus_is_sent_as_percent_2b() -> None:
    """Rule: the plus of a phone number goes out as %2B, because a raw one is read as a space."""
    query = build_query("customers", filters={"phone_number": "+358401234567", "city": "Åbo & co"})
    (chain,) = query.chains()
    path = chain.path(query.resource)
    assert "phone_number=%2B358401234567" in path
    assert sent(query)[0][1]["city"] == "Åbo & co"
    assert path.isascii()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        ("True", "True"),
        (7, "7"),
        (0, "0"),
        (1.5, "1.5"),
        ("none", "none"),
        (" padded ", " padded "),
        (date(2026, 2, 1), "2026-02-01"),
        (datetime(2026, 2, 1, 23, 0, tzinfo=UTC), "2026-02-02"),
    ],
)
def test_filter_values_become_texts(value: Any, text: str) -> None:
    """Rule: booleans are lower case, days are plain dates in the tenant's zone, texts are left as they are."""
    query = build_query("customers", filters={"can_email": value}, timezone="Europe/Helsinki")
    assert sent(query)[0][1]["can_email"] == text


@pytest.mark.parametrize(
    ("resource", "arguments", "added", "fields"),
    [
        ("events", {"fields": "type,email", "date": "2026-02-01"}, "date", "type,email,date"),
        ("events", {"fields": "date,email", "date": "2026-02-01"}, None, "date,email"),
        ("events", {"fields": "type,email"}, None, "type,email"),
        ("events", {"date": "2026-02-01"}, None, None),
        ("events", {"fields": [], "date": "2026-02-01"}, None, None),
        ("sales", {"fields": ["total"], "date": "2026-02-01"}, "sale_date", "total,sale_date"),
        ("sales", {"fields": ["total"]}, None, "total"),
        ("sales", {"fields": ["sale_date"], "date": "2026-02-01"}, None, "sale_date"),
        ("customers", {"fields": ["email"]}, None, "email"),
    ],
)
def test_the_timestamp_is_added_where_a_window_needs_it(
    resource: str, arguments: dict[str, Any], added: str | None, fields: str | None
) -> None:
    """Rule: with a window and chosen fields the timestamp is asked for too, and only then; the query says what to drop."""
    if resource == "events":
        arguments = {**arguments, "event_types": "BROWSE"}
    query = build_query(resource, **arguments)
    assert query.added_field == added
    assert {parameters.get("fields") for _, parameters in sent(query)} == {fields}


def test_chains_can_be_walked_again() -> None:
    """Rule: a query is data; asking for its chains twice gives the same ones, as a continued run needs."""
    query = build_query("sales", date="2026-02-01")
    assert list(query.chains()) == list(query.chains())
    assert len({chain.label for chain in query.chains()}) == 3


def test_the_catalogue_is_consistent() -> None:
    """Rule: timestamps, keys, identifiers and required fields of a resource are fields of it; paths end in a slash."""
    assert set(READABLE) == {"customers", "events", "sales", "products"}
    for name, resource in RESOURCES.items():
        assert resource.data_path == f"/api/data/{name}/"
        assert resource.upload_path == f"/api/{name}/upload/"
        for field in (*resource.required, *resource.identifiers):
            assert field in resource.write_fields
        if resource.is_readable:
            assert {resource.key, resource.timestamp} - {None} <= set(resource.read_fields)
    assert [name for name, resource in RESOURCES.items() if resource.never_repeatable] == ["events"]
    # The types that the page on data retrieval lists.
    documented = "MAIL_OPEN MAIL_CLICK BASKET_ADD BROWSE AUTOMATED_CAMPAIGN MAIL_DEFERRED MAIL_UNSUBSCRIBE MAIL_BLOCKED"
    assert set(documented.split()) <= set(EVENT_TYPES)
