"""Reading customers of the simulated store (Spiffy Stores' documentation of customers, unless called a choice)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import SpiffyStoresSandbox, SpiffyStoresSettings

Factory = Callable[..., SpiffyStoresSandbox]


def get(store: SpiffyStoresSandbox, path: str = "customers", **params: Any) -> requests.Response:
    url, auth = f"{store.url}/api/{path}.json", (store.key, store.password)
    return requests.get(url, params=params, auth=auth, headers={"Accept": "application/json"}, timeout=10)


def ids(store: SpiffyStoresSandbox, path: str = "customers", **params: Any) -> list[int]:
    response = get(store, path, **params)
    assert response.status_code == 200, response.text
    return [customer["id"] for customer in response.json()["customers"]]


@pytest.fixture
def small(spiffy_sandbox_factory: Factory) -> SpiffyStoresSandbox:
    store = spiffy_sandbox_factory(generate=False)
    store.load(
        [
            {"id": 1, "name": "Bilbo Baggins", "email": "bilbo@shire.example", "updated_at": "2024-05-01T10:00:00+10:00"},
            {"id": 2, "name": "Frodo Baggins", "email": "frodo@shire.example", "updated_at": "2024-05-01T00:01:00Z"},
            {"id": 3, "name": "Gandalf", "email": "g@istari.example", "updated_at": "2024-04-30T20:02:00-04:00"},
        ]
    )
    store.touch(1, wholesale=True, accepts_marketing=True, updated_at="2024-05-01T10:00:00+10:00")
    store.touch(2, wholesale=False, accepts_marketing=False, updated_at="2024-05-01T00:01:00Z")
    store.touch(3, updated_at="2024-04-30T20:02:00-04:00")
    return store


def test_spiffy_store_record(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: store.json tells name, domain, country and currency."""
    record = get(spiffy_sandbox, "store").json()["store"]
    assert (record["country_code"], record["currency"]) == ("AU", "AUD")
    assert {"name", "domain"} <= record.keys()


def test_spiffy_pages(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: 30 a page unless a limit says otherwise, 50 at most; pages count from 1, and one behind the last is empty."""
    everyone = [customer["id"] for customer in spiffy_sandbox.customers()]
    assert ids(spiffy_sandbox) == everyone[:30]
    assert ids(spiffy_sandbox, limit=50, page=2) == everyone[50:100]
    assert ids(spiffy_sandbox, limit=1000) == everyone[:50]
    assert ids(spiffy_sandbox, limit=50, page=3) == everyone[100:]
    assert ids(spiffy_sandbox, limit=50, page=4) == []
    assert ids(spiffy_sandbox, since_id=everyone[69]) == everyone[70:100]
    assert get(spiffy_sandbox, "customers/count").json() == {"count": 120}


@pytest.mark.parametrize(
    ("order", "expected"),
    [("id", [1, 2, 3, 4]), ("-id", [4, 3, 2, 1]), ("updated_at", [2, 3, 4, 1])],
)
def test_spiffy_orders(small: SpiffyStoresSandbox, order: str, expected: list[int]) -> None:
    """Rule: the order is a setting, since none is documented; times are compared as moments, whatever their offset."""
    small.load([{"id": 4, "updated_at": "2024-05-02T00:00:00Z"}])
    small.touch(1)
    small.settings.order = order
    assert ids(small) == expected


def test_spiffy_limit_over_maximum(small: SpiffyStoresSandbox) -> None:
    """Rule: a limit over the maximum is cut, or refused where the setting says so."""
    small.settings.limit_max = 2
    assert ids(small, limit=3) == [1, 2]
    assert ids(small) == [1, 2]
    small.settings.limit_over_max = "error"
    response = get(small, limit=3)
    assert (response.status_code, response.json()) == (422, {"errors": {"limit": ["must be 2 at most"]}})


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"ids": "3,1,99"}, [1, 3]),
        ({"since_id": 2}, [3]),
        ({"since_id": 0}, [1, 2, 3]),
        ({"wholesale_status": "wholesale"}, [1]),
        ({"wholesale_status": "retail"}, [2, 3]),
        ({"marketing_status": "accepts_marketing"}, [1]),
        ({"marketing_status": "rejects_marketing"}, [2, 3]),
        ({"updated_at_min": "2024-05-01 00:01"}, [2, 3]),
        ({"updated_at_max": "2024-05-01 00:01"}, [1, 2]),
        ({"updated_at_min": "2024-05-01 00:01", "updated_at_max": "2024-05-01 00:01"}, [2]),
        ({"created_at_min": "2024-05-01 00:02"}, [3]),
        ({"created_at_max": "2024-05-01 00:00"}, [1]),
        ({"created_at_min": "2024-05-02 00:00"}, []),
    ],
)
def test_spiffy_filters(small: SpiffyStoresSandbox, params: dict[str, Any], expected: list[int]) -> None:
    """Rule: filters narrow lists, counts and searches alike; bounds are UTC, and belong to what they bound."""
    assert ids(small, **params) == expected
    assert ids(small, "customers/search", **params) == expected
    assert get(small, "customers/count", **params).json() == {"count": len(expected)}


def test_spiffy_exclusive_bounds(small: SpiffyStoresSandbox) -> None:
    """Rule: whether a bound belongs to what it bounds is unknown, thus a setting."""
    small.settings.inclusive_bounds = False
    assert ids(small, updated_at_min="2024-05-01 00:01") == [3]
    assert ids(small, updated_at_max="2024-05-01 00:01") == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "many"),
        ("page", "0"),
        ("page", "-1"),
        ("since_id", "x"),
        ("ids", "1,b"),
        ("wholesale_status", "both"),
        ("marketing_status", "true"),
        ("updated_at_min", "2024-05-01"),
        ("created_at_max", "2024-05-01T00:00:00Z"),
        ("created_at_max", "2024-05-41 00:00"),
    ],
)
def test_spiffy_wrong_parameters(small: SpiffyStoresSandbox, name: str, value: str) -> None:
    """Rule: a value that is not as documented is a 422 that names the parameter (a choice)."""
    response = get(small, **{name: value})
    assert (response.status_code, list(response.json()["errors"])) == (422, [name])


def test_spiffy_unknown_parameters(small: SpiffyStoresSandbox) -> None:
    """Rule: unknown parameters are ignored, or refused where the setting says so; only searches know ``query``."""
    assert ids(small, colour="blue", query="nobody") == [1, 2, 3]
    small.settings.unknown_parameter = "error"
    assert get(small, colour="blue").json() == {"errors": {"colour": ["is not a parameter"]}}
    assert get(small, query="x").status_code == 422
    assert ids(small, "customers/search", query="") == [1, 2, 3]


def test_spiffy_fields(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: with ``fields`` only these come, and addresses never, even if asked for."""
    first = spiffy_sandbox.customers()[0]
    page = get(spiffy_sandbox, fields="id,email, colour,addresses,default_address", limit=1).json()
    assert page == {"customers": [{"id": first["id"], "email": first["email"]}]}


def test_spiffy_one_customer(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: a customer is found by id, as stored; an unknown id is a 404."""
    customer = spiffy_sandbox.customers()[5]
    assert get(spiffy_sandbox, f"customers/{customer['id']}").json() == {"customer": customer}
    response = get(spiffy_sandbox, "customers/5")
    assert (response.status_code, response.json()) == (404, {"errors": "Not Found"})
    assert get(spiffy_sandbox, "orders").status_code == 404


def test_spiffy_times(small: SpiffyStoresSandbox) -> None:
    """Rule: times come with the offsets that they are stored with, or all in UTC; what is no time stays."""
    small.touch(2, last_sign_in_at="", updated_at="2024-05-01T00:01:00Z")

    def shown() -> list[str]:
        return [customer["updated_at"] for customer in get(small).json()["customers"]]

    assert shown() == ["2024-05-01T10:00:00+10:00", "2024-05-01T00:01:00Z", "2024-04-30T20:02:00-04:00"]
    small.settings.timestamps = "utc"
    assert shown() == ["2024-05-01T00:00:00Z", "2024-05-01T00:01:00Z", "2024-05-01T00:02:00Z"]
    assert get(small, "customers/2").json()["customer"]["last_sign_in_at"] == ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("country:Australia", [1]),
        ("country:au", [1]),
        ('country:"New Zealand"', [2]),
        ("-country:Australia", [2, 3]),
        ("total_spent:>100", [1, 3]),
        ("total_spent:<100", [2]),
        ("total_spent:>=100.5", [1, 3]),
        ("total_spent:>100.5", [3]),
        ("total_spent:99", [2]),
        ("total_spent:>100 -state:guest", [1]),
        ("state:guest", [3]),
        ("tags:VIP", [1, 2]),
        ("tags:vi", []),
        ('tags:"club member"', [2]),
        ("city:Hobart", [1]),
        ("wholesale:true", [1]),
        ("id:2", [2]),
        ("bag", [1, 2]),
        ("SHIRE.example -frodo", [1]),
        ("nothing:here", []),
        ("", [1, 2, 3]),
    ],
)
def test_spiffy_searches(small: SpiffyStoresSandbox, query: str, expected: list[int]) -> None:
    """Rule: all terms must hold: a field's value or a comparison, negated by a minus; bare words are in name or e-mail."""
    address = {"country": "Australia", "country_code": "AU", "city": "Hobart"}
    small.touch(1, total_spent="100.50", state="enabled", tags="vip", default_address=address)
    abroad = {"country": "New Zealand", "country_code": "NZ"}
    small.touch(2, total_spent=99, state="enabled", tags="club member, vip", addresses=[abroad])
    small.touch(3, total_spent="250", state="guest", tags=None, default_address=None)
    assert ids(small, "customers/search", query=query) == expected


def test_spiffy_search_pages(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: a search takes the parameters of a list."""
    found = [customer["id"] for customer in spiffy_sandbox.customers() if customer["state"] == "enabled"]
    pages = [ids(spiffy_sandbox, "customers/search", query="state:enabled", limit=10, page=page) for page in (1, 2)]
    assert pages == [found[:10], found[10:20]]


def test_spiffy_parameters_of_paging_do_not_change_counts(spiffy_sandbox_factory: Factory) -> None:
    """Rule: a count is of all that match."""
    store = spiffy_sandbox_factory(SpiffyStoresSettings(limit_default=2), customers=9)
    assert get(store, "customers/count", limit=3, page=2).json() == {"count": 9}
    assert len(ids(store)) == 2
