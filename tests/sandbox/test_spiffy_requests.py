"""Credentials, forms, changes, pace and faults of the simulated store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import Fault, SpiffyStoresSandbox, SpiffyStoresSettings

Factory = Callable[..., SpiffyStoresSandbox]
PATH = "/api/customers.json"
NEW = {"first_name": "Sam", "last_name": "Gamgee", "email": "sam@shire.example"}


def send(store: SpiffyStoresSandbox, path: str = PATH, method: str = "GET", **kwargs: Any) -> requests.Response:
    kwargs = {"auth": (store.key, store.password), "timeout": 10, **kwargs}
    kwargs["headers"] = {"Accept": "application/json", **kwargs.get("headers", {})}
    return requests.request(method, store.url + path, **kwargs)


def post(store: SpiffyStoresSandbox, **customer: Any) -> requests.Response:
    return send(store, method="POST", json={"customer": customer})


def put(store: SpiffyStoresSandbox, number: int, **customer: Any) -> requests.Response:
    return send(store, f"/api/customers/{number}.json", "PUT", json={"customer": customer})


@pytest.fixture
def empty(spiffy_sandbox_factory: Factory) -> SpiffyStoresSandbox:
    return spiffy_sandbox_factory(generate=False)


def test_spiffy_credentials(empty: SpiffyStoresSandbox) -> None:
    """Rule: key and password as Basic, or the OAuth token as Bearer; anything else is a 401."""
    assert send(empty).status_code == 200
    bearer = {"Authorization": f"Bearer {empty.access_token}"}
    assert send(empty, auth=None, headers=bearer).status_code == 200
    assert [record.token_hint for record in empty.requests] == [empty.key, f"{empty.access_token[:4]}..."]
    for auth in (None, (empty.key, "wrong"), (empty.password, empty.key)):
        assert send(empty, auth=auth).status_code == 401
    for text in ("Bearer wrong", f"Basic {empty.access_token}", "Basic !", empty.access_token):
        assert send(empty, auth=None, headers={"Authorization": text}).status_code == 401
    empty.settings.auth_schemes = ("basic",)
    assert send(empty, auth=None, headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("style", "content_type", "start"),
    [
        ("json", "application/json", '{"errors":"Invalid API key'),
        ("text", "text/plain", "HTTP Basic: Access denied."),
        ("html", "text/html", "<html>"),
        ("empty", "text/plain", ""),
    ],
)
def test_spiffy_bodies_of_401(empty: SpiffyStoresSandbox, style: str, content_type: str, start: str) -> None:
    """Rule: the body of a 401 is not documented, thus a setting."""
    empty.settings.auth_failure_body = style
    response = send(empty, auth=("a", "b"))
    assert response.status_code == 401
    assert response.headers["Content-Type"].startswith(content_type)
    assert response.text.startswith(start)
    assert bool(response.text) is bool(start)


@pytest.mark.parametrize(
    ("setting", "accept", "status"),
    [
        ("strict", "application/json", 200),
        ("strict", "text/html, application/json;q=0.5", 200),
        ("strict", "*/*", 406),
        ("strict", None, 406),
        ("match", "*/*", 200),
        ("match", None, 200),
        ("match", "text/html", 406),
        ("off", "text/html", 200),
    ],
)
def test_spiffy_accept(empty: SpiffyStoresSandbox, setting: str, accept: str | None, status: int) -> None:
    """Rule: requests have to say that they accept JSON; how strictly is a setting."""
    empty.settings.accept = setting
    request = requests.Request("GET", empty.url + PATH, auth=(empty.key, empty.password)).prepare()
    if accept is not None:
        request.headers["Accept"] = accept
    with requests.Session() as session:
        assert session.send(request, timeout=10).status_code == status


def test_spiffy_content_type(empty: SpiffyStoresSandbox) -> None:
    """Rule: bodies have to be called JSON; with the setting, requests without a body too, or none at all."""
    body = json.dumps({"customer": NEW}).encode()
    assert send(empty, method="POST", data=body).status_code == 415
    assert empty.customers() == []
    empty.settings.content_type = "always"
    assert send(empty).status_code == 415
    assert send(empty, headers={"Content-Type": "application/json; charset=utf-8"}).status_code == 200
    empty.settings.content_type = "off"
    assert send(empty, method="POST", data=body).status_code == 201


def test_spiffy_methods(empty: SpiffyStoresSandbox) -> None:
    """Rule: a path refuses the methods that it does not have."""
    response = send(empty, method="DELETE")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")


def test_spiffy_life_of_a_customer(empty: SpiffyStoresSandbox) -> None:
    """Rule: a customer is created with 201, changed with 200 and deleted with 200 and {}, and its id is not given again."""
    response = post(empty, title="Mr", **NEW, colour="green", id=5, orders_count=7)
    assert response.status_code == 201
    customer = response.json()["customer"]
    assert empty.customers() == [customer]
    assert (customer["name"], customer["state"], customer["orders_count"]) == ("Mr Sam Gamgee", "guest", 0)
    assert "colour" not in customer
    empty.clock.advance(60)
    changed = put(empty, customer["id"], last_name="Gardner", email="SAM@shire.example").json()["customer"]
    assert changed["name"] == "Mr Sam Gardner"
    assert changed["created_at"] == customer["created_at"] < changed["updated_at"]
    response = send(empty, f"/api/customers/{customer['id']}.json", "DELETE")
    assert (response.status_code, response.json()) == (200, {})
    assert put(empty, customer["id"], note="x").status_code == 404
    assert post(empty, **NEW).json()["customer"]["id"] == customer["id"] + 1


def test_spiffy_addresses(empty: SpiffyStoresSandbox) -> None:
    """Rule: addresses get ids; one of them is the default and stands by itself too."""
    customer = post(empty, **NEW, addresses=[{"city": "Hobart"}, {"city": "Perth", "default": True}]).json()["customer"]
    assert [(each["city"], each["default"]) for each in customer["addresses"]] == [("Hobart", False), ("Perth", True)]
    assert customer["default_address"] == customer["addresses"][1]
    first = customer["addresses"][0]
    customer = put(empty, customer["id"], default_address={**first, "city": "Sydney"}).json()["customer"]
    assert [each["city"] for each in customer["addresses"]] == ["Perth", "Sydney"]
    assert customer["default_address"]["id"] == first["id"]
    customer = put(empty, customer["id"], addresses=[]).json()["customer"]
    assert (customer["addresses"], customer["default_address"]) == ([], None)


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"email": "Bilbo@Shire.example"}, {"email": ["has already been taken"]}),
        ({"email": "bilbo"}, {"email": ["is invalid"]}),
        ({"email": 5}, {"email": ["must be text"]}),
        (
            {"state": "asleep", "wholesale": "yes"},
            {"state": ["must be one of guest, disabled, invited, enabled, declined"], "wholesale": ["must be true or false"]},
        ),
        ({"credit": "much"}, {"credit": ["is not a number"]}),
        ({"tags": ["a"]}, {"tags": ["must be text"]}),
        ({"addresses": {}}, {"addresses": ["must be a list of addresses"]}),
        ({"default_address": "x"}, {"default_address": ["must be an address"]}),
    ],
)
def test_spiffy_refused_customers(empty: SpiffyStoresSandbox, fields: dict[str, Any], errors: dict[str, Any]) -> None:
    """Rule: a customer that cannot be is a 422 with messages by field, an e-mail in use above all, and nothing changes."""
    _, other = empty.load([{"email": "bilbo@shire.example"}, {"email": "frodo@shire.example"}])
    before = empty.customers()
    for response in (post(empty, **{**NEW, **fields}), put(empty, other, **fields)):
        assert (response.status_code, response.json()) == (422, {"errors": errors})
    assert empty.customers() == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"customer": 5}', b'{"customer": "\xff"}'])
def test_spiffy_bad_bodies(empty: SpiffyStoresSandbox, body: bytes) -> None:
    """Rule: a body that is no JSON object with a customer is a 400 with a text."""
    response = send(empty, method="POST", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert isinstance(response.json()["errors"], str)
    assert post(empty, first_name="").json() == {"errors": {"email": ["can't be blank"]}}


def told(response: requests.Response) -> dict[str, Any]:
    return json.loads(response.headers["X-Ratelimit"])


def test_spiffy_rate_limit(spiffy_sandbox_factory: Factory) -> None:
    """Rule: every response tells what is left until the window's end; over it comes 429 with Retry-After and plain text."""
    store = spiffy_sandbox_factory(SpiffyStoresSettings(rate_limit=3), customers=1)
    # To 100 seconds before the end of a window: windows end at multiples of the period.
    store.clock.advance((200 - store.clock.now().timestamp()) % 300)
    answers = [send(store), send(store, "/api/nothing.json"), send(store), send(store)]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]
    assert [told(answer)["remaining"] for answer in answers] == [2, 1, 0, 0]
    first = told(answers[0])
    assert (first["name"], first["period"], first["limit"]) == ("API", 300, 3)
    until = datetime.fromisoformat(first["until"])
    assert until.timestamp() % 300 == 0
    assert 90 < (until - store.clock.now()).total_seconds() <= 100
    refused = answers[-1]
    assert refused.headers["Content-Type"].startswith("text/plain")
    assert "API rate limit exceeded" in refused.text
    assert 90 < int(refused.headers["Retry-After"]) <= 100
    store.clock.advance(int(refused.headers["Retry-After"]))
    assert told(send(store))["remaining"] == 2


def test_spiffy_limit_by_caller(spiffy_sandbox_factory: Factory) -> None:
    """Rule: each caller has a count, those with wrong credentials too, since they are counted first (a choice)."""
    store = spiffy_sandbox_factory(SpiffyStoresSettings(rate_limit=1), customers=1)
    store.clock.advance(-store.clock.now().timestamp() % 300)
    bearer = {"Authorization": f"Bearer {store.access_token}"}
    assert [send(store).status_code for _ in range(2)] == [200, 429]
    assert [send(store, auth=None, headers=bearer).status_code for _ in range(2)] == [200, 429]
    assert [send(store, auth=None).status_code for _ in range(2)] == [401, 429]


def test_spiffy_no_limit(spiffy_sandbox_factory: Factory) -> None:
    """Rule: without a limit the header tells a large number."""
    store = spiffy_sandbox_factory(SpiffyStoresSettings(rate_limit=None), customers=1)
    assert told(send(store))["remaining"] == 1_000_000


def test_spiffy_retry_after(spiffy_sandbox_factory: Factory) -> None:
    """Rule: Retry-After can be the whole period, as an edition of the limiter has it, or missing."""
    store = spiffy_sandbox_factory(SpiffyStoresSettings(rate_limit=1, rate_period=3600, retry_after="period"), customers=1)
    store.clock.advance(-store.clock.now().timestamp() % 3600)
    send(store)
    assert send(store).headers["Retry-After"] == "3600"
    store.settings.retry_after = "off"
    refused = send(store)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)


def test_spiffy_strange_rate_headers(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: the header may be missing, cut short, or tell of two limiters in two lines or in one that is folded."""
    settings = spiffy_sandbox.settings
    settings.rate_header = "missing"
    assert "X-Ratelimit" not in send(spiffy_sandbox).headers
    settings.rate_header = "malformed"
    with pytest.raises(json.JSONDecodeError):
        told(send(spiffy_sandbox))
    for style, separator in (("two_lines", ", {"), ("two_folded", " {")):
        settings.rate_header = style
        text = " ".join(send(spiffy_sandbox).headers["X-Ratelimit"].split())
        first, _, second = text.rpartition(separator)
        assert [json.loads(each)["name"] for each in (first, "{" + second)] == ["API", "HTTP"]


def test_spiffy_status_fault(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: faults meet requests as they do at Custobar's sandbox, and speak as this store does."""
    spiffy_sandbox.faults.add(Fault("status", status=500, path=PATH, after=1))
    assert [send(spiffy_sandbox).status_code for _ in range(3)] == [200, 500, 200]
    spiffy_sandbox.faults.add(Fault("status", reason="Busy", retry_after=2))
    response = send(spiffy_sandbox)
    assert (response.json(), response.headers["Retry-After"]) == ({"errors": "Busy"}, "2")
    assert [record.faults for record in spiffy_sandbox.requests] == [(), ("status",), (), ("status",)]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (PATH, "customers"),
        ("/api/customers/search.json", "customers"),
        ("/api/customers/count.json", "count"),
        ("/api/customers/1001.json", "customer"),
        ("/api/store.json", "store"),
    ],
)
def test_spiffy_shape_faults(empty: SpiffyStoresSandbox, path: str, key: str) -> None:
    """Rule: an answer can come without its content, or with something else in its place."""
    empty.load([{"id": 1001}])
    empty.faults.add(Fault("missing_key", path=path))
    assert send(empty, path).json() == {}
    empty.faults.add(Fault("wrong_key_type", path=path, value=None))
    assert send(empty, path).json() == {key: None}


@pytest.mark.parametrize("kind", ["drop", "drop_after", "truncate"])
def test_spiffy_broken_connections(empty: SpiffyStoresSandbox, kind: str) -> None:
    """Rule: connections can break before, after and within the work."""
    empty.faults.add(Fault(kind, method="POST"))
    with pytest.raises(requests.RequestException):
        post(empty, **NEW)
    assert len(empty.customers()) == (0 if kind == "drop" else 1)
    assert send(empty).status_code == 200
    assert empty.errors == []
