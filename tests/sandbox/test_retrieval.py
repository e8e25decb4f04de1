"""GET /api/data/<resource>/: shape, fields, order, limit (S1, S2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


@pytest.mark.parametrize("resource", ["customers", "sales", "products"])
def test_list_under_resource_name(client: Client, resource: str) -> None:
    """The records stand in a list under the resource's name, and are what the store holds."""
    response = client.data(resource, limit=10)
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()[resource] == list(client.sandbox.records(resource))[:10]


def test_nothing_found_is_an_empty_list(client: Client) -> None:
    """Nothing found is 200 with an empty list, no next_url."""
    assert client.data("customers", external_id="nobody").json() == {"customers": [], "count": 0}
    assert client.rows("events", type="NEVER_SEEN") == []


def test_default_limit_is_100(client: Client) -> None:
    """Without a limit a page has 100 records (S1)."""
    assert len(client.rows("customers")) == 100


def test_count_can_be_left_out(client: Client) -> None:
    """The total is an observed extra (C3) that a setting takes away."""
    assert client.data("customers").json()["count"] == 200
    client.sandbox.settings.include_count = False
    assert "count" not in client.data("customers").json()


@pytest.mark.parametrize("limit", ["0", "-1", "ten", "1.5", "", "10001", "\u0661\u0660"])
def test_wrong_limits_are_refused(client: Client, limit: str) -> None:
    """Limits that are no number from 1 to the maximum are a 400 that names the value."""
    response = client.data("customers", f"?limit={limit}")
    assert response.status_code == 400
    assert "limit" in response.json()["error"]["reason"]


def test_limit_over_maximum_can_be_clamped(make_client: Callable[..., Client]) -> None:
    """A lax server would cut the limit to its maximum; JSON and CSV have maxima of their own."""
    client = make_client(limit_over_max="clamp", limit_max_json=7, limit_max_csv=9)
    assert len(client.rows("customers", limit=50)) == 7
    assert len(client.data("customers", limit=50, format="csv").text.splitlines()) == 1 + 9


def test_fields_always_bring_the_id(client: Client) -> None:
    """``external_id`` is always added (S1), values that are missing stay missing, unknown names do nothing."""
    rows = client.rows("customers", fields="email,first_name,nonsense")
    assert {name for row in rows for name in row} == {"external_id", "email", "first_name"}
    assert any("email" not in row for row in rows)
    assert list(rows[0]) == ["external_id", "email", "first_name"]


@pytest.mark.parametrize(
    ("resource", "query", "always"),
    [
        ("events", "?type=BROWSE&fields=path", {"type", "date"}),
        ("sales", "?fields=total", {"external_id", "sale_external_id", "sale_date"}),
        ("products", "?fields=title", {"external_id"}),
    ],
)
def test_other_always_included_fields(client: Client, resource: str, query: str, always: set[str]) -> None:
    """Events keep type and date, sales their ids and date (our choice)."""
    assert all(always <= row.keys() for row in client.rows(resource, query))


def test_custom_fields_can_be_asked_for(client: Client) -> None:
    """The tenant's own fields can be asked for by name (our choice)."""
    rows = client.rows("customers", fields="acme__loyalty_points")
    assert {name for row in rows for name in row} == {"external_id", "acme__loyalty_points"}


def test_default_orders(make_client: Callable[..., Client]) -> None:
    """Default order: external id; events by date, then arrival (our choice)."""
    client = make_client(generate=False, events_require_type=False)
    client.sandbox.load("customers", [{"external_id": name} for name in ("b", "c", "a")])
    assert [row["external_id"] for row in client.rows("customers")] == ["a", "b", "c"]
    dates = ["2026-02-02T00:00:00Z", "2026-02-01T00:00:00.500000Z", "2026-02-01T00:00:00Z"]
    client.sandbox.load("events", [{"type": "X", "date": text, "label": str(n)} for n, text in enumerate(dates)])
    client.sandbox.load("events", [{"type": "X", "date": dates[2], "label": "3"}])
    assert [row["label"] for row in client.rows("events")] == ["2", "3", "1", "0"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("city", ["d", "b", "c", "a"]),
        ("-city", ["a", "b", "c", "d"]),
        ("city,-external_id", ["d", "c", "b", "a"]),
        ("email_domain,external_id", ["d", "c", "a", "b"]),
        ("-acme__points", ["b", "c", "a", "d"]),
    ],
)
def test_order(empty: Client, order: str, expected: list[str]) -> None:
    """``order`` takes names, a minus for descending, and email_domain (S1); missing values come first."""
    empty.sandbox.load(
        "customers",
        [
            {"external_id": "a", "city": "Turku", "email": "a@b.example", "acme__points": 9},
            {"external_id": "b", "city": "Oulu", "email": "b@z.example", "acme__points": 100},
            {"external_id": "c", "city": "Oulu", "email": "c@a.example", "acme__points": 10},
            {"external_id": "d"},
        ],
    )
    assert [row["external_id"] for row in empty.rows("customers", order=order)] == expected


def test_unknown_order_is_refused(client: Client) -> None:
    """Ordering by an unknown name is a 400 (our choice)."""
    response = client.data("customers", order="shoe_size")
    assert response.status_code == 400
    assert "shoe_size" in response.json()["error"]["reason"]


def test_unknown_format_is_refused(client: Client) -> None:
    """Formats other than json and csv are a 400 (our choice)."""
    assert client.data("customers", format="xml").status_code == 400
    assert client.data("customers", format="json").status_code == 200


@pytest.mark.parametrize("path", ["/api/data/shops/", "/api/data/customers/C-001001/", "/api/customers/", "/x/"])
def test_unknown_paths(client: Client, path: str) -> None:
    """Paths that no source shows are a 404 (our choice)."""
    assert client.get(path).status_code == 404


def test_missing_slash(client: Client) -> None:
    """Without the last slash a GET is redirected with its query, a POST is not found (our choice)."""
    response = client.session.get(client.sandbox.url + "/api/data/customers?limit=2", allow_redirects=False, timeout=10)
    assert response.status_code == 301
    assert response.headers["Location"] == client.sandbox.url + "/api/data/customers/?limit=2"
    assert client.session.post(client.sandbox.url + "/api/customers/upload", json=[], timeout=10).status_code == 404


def test_wrong_method(client: Client) -> None:
    """A known path with another method is a 405 that says which are allowed."""
    response = client.session.put(client.sandbox.url + "/api/customers/upload/", json=[], timeout=10)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(("style", "expected"), [("html", "<h1>Bad Request</h1>"), ("empty", "")])
def test_error_bodies(client: Client, style: str, expected: str) -> None:
    """Errors may come as a proxy's page or with no body at all."""
    client.sandbox.settings.error_body = style
    response = client.data("customers", limit=0)
    assert response.status_code == 400
    assert expected in response.text
    assert bool(expected) == bool(response.text)


def test_transactions_shape(client: Client) -> None:
    """C3 reads sales as transactions with nested products; a setting shows them so."""
    rows = list(client.sandbox.records("sales"))
    client.sandbox.settings.sales_shape = "transactions"
    client.sandbox.settings.datetime_style = "naive"
    sale = client.rows("sales", sale_external_id=rows[1]["sale_external_id"])[0]
    assert sale["external_id"] == rows[1]["sale_external_id"]
    assert sale["date"] == rows[1]["sale_date"].removesuffix("Z")
    assert [product["external_id"] for product in sale["products"]] == [
        row["external_id"] for row in rows if row["sale_external_id"] == sale["external_id"]
    ]
    assert client.data("sales").json()["count"] == len({row["sale_external_id"] for row in rows})


def test_gzip_when_asked(client: Client) -> None:
    """With the setting, large answers are compressed for clients that accept it."""
    client.sandbox.settings.gzip_responses = True
    response = client.data("customers")
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(response.json()["customers"]) == 100
