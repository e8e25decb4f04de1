"""Filters really filter (S1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


CUSTOMERS: list[dict[str, Any]] = [
    {
        "external_id": "a",
        "email": "Ann@Example.com",
        "phone_number": "+358401",
        "first_name": "Ann",
        "zip_code": "SW1A 1AA",
        "country": "GB",
        "can_email": True,
        "acme__level": 3,
        "tags": ["x", "y"],
        "campaign_key": ["CA-1", "CA-9"],
    },
    {"external_id": "b", "email": "ann@example.com", "first_name": "ann", "can_email": False, "campaign_key": "CA-9"},
    {"external_id": "c", "phone_number": "+358402", "country": "gb", "can_sms": True},
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("external_id=a", "a"),
        ("external_id=a&country=FI", ""),
        ("email=ann@example.com", "ab"),
        ("phone_number=%2B358401", "a"),
        ("phone_number=+358401", "a"),
        ("phone_number=358401", ""),
        ("first_name=Ann", "a"),
        ("zip_code=SW1A+1AA", "a"),
        ("zip_code=SW1A%201AA", "a"),
        ("country=GB", "a"),
        ("can_email=true", "a"),
        ("can_email=True", "a"),
        ("can_email=false", "b"),
        ("campaign_key=CA-1", "a"),
        ("campaign_key=CA-9", "ab"),
        ("acme__level=3", "a"),
        ("acme__level=4", ""),
        ("country=FI&country=GB", "a"),
    ],
)
def test_customer_filters(empty: Client, query: str, expected: str) -> None:
    """Customer filters: exact, e-mail in any case, a raw plus of phone numbers survives form decoding."""
    empty.sandbox.load("customers", CUSTOMERS)
    assert "".join(row["external_id"] for row in empty.rows("customers", f"?{query}")) == expected


def test_campaign_key_is_never_shown(empty: Client) -> None:
    """``campaign_key`` is a filter only (S1)."""
    empty.sandbox.load("customers", CUSTOMERS)
    assert all("campaign_key" not in row for row in empty.rows("customers"))
    assert all("campaign_key" not in record for record in empty.sandbox.records("customers"))


def test_generated_customers_took_part_in_campaigns(client: Client) -> None:
    """Each campaign key finds some generated customers, not all."""
    for key in ("CA-1", "CA-5"):
        assert 0 < client.data("customers", campaign_key=key).json()["count"] < 200


def test_repeated_filter_can_mean_any(make_client: Callable[..., Client]) -> None:
    """The same filter twice: the last one wins, or any of them by setting."""
    client = make_client(generate=False, repeated_filter="any")
    client.sandbox.load("customers", CUSTOMERS)
    assert [row["external_id"] for row in client.rows("customers", "?external_id=a&external_id=c")] == ["a", "c"]


@pytest.mark.parametrize(
    ("resource", "query"),
    [
        ("customers", "shoe_size=44"),
        ("customers", "tags=x"),
        ("customers", "date_joined.gte=2026-01-01"),
        ("customers", "first_name.exists=true"),
        ("events", "type=X&customer_id=a"),
        ("events", "type=X&date.gt=2026-01-01"),
        ("sales", "sale_date.gte=2026-01-01"),
        ("products", "price=100"),
        ("products", "date.lte=2026-01-01"),
    ],
)
def test_unknown_filters(empty: Client, resource: str, query: str) -> None:
    """What no page documents is a 400 that names it; by setting it is ignored, which returns everything."""
    response = empty.data(resource, f"?{query}")
    assert response.status_code == 400
    assert "Unknown filter" in response.json()["error"]["reason"]
    empty.sandbox.settings.unknown_filter = "ignore"
    assert empty.data(resource, f"?{query}").status_code == 200


def test_any_field_can_filter_as_in_older_editions(empty: Client) -> None:
    """Older editions let any field filter (S2); a list matches if it contains the value."""
    empty.sandbox.load("customers", CUSTOMERS)
    empty.sandbox.settings.unknown_filter = "match"
    assert [row["external_id"] for row in empty.rows("customers", "?tags=y")] == ["a"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("category=Food", "pq"),
        ("category=Gifts", "q"),
        ("visible=TRUE", "p"),
        ("in_stock=false", "q"),
        ("title=Tea%2C+green", "p"),
        ("stock.shop_id=north", "pq"),
        ("stock.quantity.gte=10", "pq"),
        ("stock.shop_id=north&stock.quantity.gte=5", "q"),
        ("stock.shop_id=north&stock.quantity.gte=1&stock.quantity.lte=3", "p"),
        ("stock.quantity.lte=2.5", "p"),
    ],
)
def test_product_filters(empty: Client, query: str, expected: str) -> None:
    """Product filters: any element of a category list; stock conditions hold for one and the same entry."""
    north, south = {"shop_id": "north"}, {"shop_id": "south"}
    empty.sandbox.load(
        "products",
        [
            {
                "external_id": "p",
                "title": "Tea, green",
                "category": "Food",
                "visible": True,
                "stock": [north | {"quantity": 2}, south | {"quantity": 20}],
            },
            {
                "external_id": "q",
                "category": ["Food", "Gifts"],
                "in_stock": False,
                "stock": [north | {"quantity": 30}, south | {"quantity": 8}],
            },
        ],
    )
    assert "".join(row["external_id"] for row in empty.rows("products", f"?{query}")) == expected


@pytest.mark.parametrize("query", ["can_email=yes", "can_email="])
def test_wrong_boolean(client: Client, query: str) -> None:
    """Booleans are true or false in any case, nothing else."""
    assert client.data("customers", f"?{query}").status_code == 400


def test_stock_quantity_must_be_a_number(client: Client) -> None:
    """A quantity that is no number is a 400."""
    assert client.data("products", "?stock.quantity.gte=some").status_code == 400


@pytest.mark.parametrize(
    "field",
    [
        "sale_external_id",
        "sale_customer_id",
        "sale_phone_number",
        "sale_email",
        "sale_shop_id",
        "sale_payment_method",
        "sale_state",
        "external_id",
        "product_id",
        "product_sku",
    ],
)
def test_sales_filters_agree_with_a_scan(client: Client, field: str) -> None:
    """Each documented sales filter finds what a scan of all rows finds."""
    rows = list(client.sandbox.records("sales"))
    value = next(row[field] for row in rows if field in row)
    expected = [row for row in rows if row.get(field) == value]
    assert client.rows("sales", limit=10000, **{field: value}) == expected


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        *(
            ("customers", field)
            for field in (
                *("external_id", "email", "phone_number", "first_name", "last_name", "can_email", "can_sms"),
                *("can_post", "can_push", "city", "country", "zip_code", "province", "acme__loyalty_level"),
            )
        ),
        *(
            ("products", field)
            for field in (
                *("external_id", "sku", "ean", "title", "brand", "category_id", "type", "vendor", "visible"),
                *("in_stock", "language"),
            )
        ),
    ],
)
def test_filters_on_generated_data_agree_with_a_scan(client: Client, resource: str, field: str) -> None:
    """Each documented filter finds what a scan of the generated records finds, also joined with the id."""
    records = list(client.sandbox.records(resource))
    value = next(record[field] for record in records if field in record)
    expected = [record for record in records if record.get(field) == value]
    assert client.rows(resource, limit=1000, **{field: str(value)}) == expected
    both = {field: str(value), "external_id": expected[-1]["external_id"]}
    assert client.rows(resource, **both) == expected[-1:]
    other = next((record for record in records if record.get(field) != value), None)
    if other is not None and field != "external_id":
        assert client.rows(resource, **{field: str(value), "external_id": other["external_id"]}) == []


def test_events_filter_agrees_with_a_scan(client: Client) -> None:
    """Type and date range together find what a scan of all events finds, loaded ones among them."""
    client.sandbox.load("events", [{"type": "BROWSE", "date": "2026-02-10", "label": "extra"}] * 3)
    expected = [
        event
        for event in client.sandbox.records("events")
        if event["type"] == "BROWSE" and "2026-02-10" <= event["date"][:10] <= "2026-02-12"
    ]
    found = client.rows("events", type="BROWSE", date__gte="2026-02-10", date__lte="2026-02-12", limit=10000)
    assert found == expected
    assert sum(event.get("label") == "extra" for event in found) == 3


def test_events_require_a_type(client: Client) -> None:
    """Each type is asked for separately (S1); C3 asks for none, which a setting allows."""
    assert client.data("events").status_code == 400
    client.sandbox.settings.events_require_type = False
    assert client.data("events").json()["count"] == 2000


def test_several_types_match_nothing(client: Client) -> None:
    """A comma is part of the type (our choice)."""
    assert client.rows("events", type="BROWSE,MAIL_OPEN") == []
