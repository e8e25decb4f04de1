"""The synchronous client's own: uploads over a real socket, testing a connection, closing; and TLS settings of both."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import certifi
import pytest

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.async_client import AsyncCustobarClient
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings

EVENT = b'{"type":"BROWSE","date":"2026-02-01T10:00:00Z","customer_id":"1"}'
CUSTOMER = b'{"external_id":"new-1","email":"teppo@example.com"}'


@pytest.fixture
def sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    return custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)


@pytest.fixture
def make_client(sandbox: CustobarSandbox) -> Callable[..., CustobarClient]:
    def make(token: str | None = None, login: str | None = None, **extra: Any) -> CustobarClient:
        extra = {"requests_per_minute": 1_000_000, "max_attempts": 3, **extra}
        config = config_from_connection(host=sandbox.url, login=login, password=token or sandbox.token, extra=extra)
        return CustobarClient(config, sleep=lambda seconds: None)

    return make


@pytest.mark.parametrize("auth", ["Token", "Bearer", "Basic"])
def test_an_upload_arrives_with_every_way_to_sign_in(
    make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox, auth: str
) -> None:
    """Rule: Token, Bearer and HTTP Basic all work, and an upload gives the server's run_id."""
    arguments = {"token": sandbox.password, "login": sandbox.user} if auth == "Basic" else {"auth_scheme": auth}
    with make_client(**arguments) as client:
        assert client.upload(RESOURCES["customers"], [CUSTOMER])
        assert [record["external_id"] for page in client.pages(build_query("customers")) for record in page.dicts()] == [
            "new-1"
        ]


@pytest.mark.parametrize(
    ("kind", "details", "arrivals"),
    [
        ("drop_after", {}, 1),
        ("drop", {}, 0),
        ("status", {"status": 503}, 0),
        ("html", {}, 0),
    ],
)
def test_events_are_never_sent_twice(
    make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox, kind: str, details: dict[str, Any], arrivals: int
) -> None:
    """Rule: after a lost or failed answer events are not repeated, because the first ones may be there."""
    sandbox.faults.add(Fault(kind, method="POST", **details))
    with make_client() as client, pytest.raises(errors.CustobarError):
        client.upload(RESOURCES["events"], [EVENT])
    assert len(sandbox.requests) == 1
    assert len(list(sandbox.records("events"))) == arrivals


def test_events_are_sent_again_after_429(make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox) -> None:
    """Rule: 429 is a refusal at the door, so the events are sent again and arrive once."""
    sandbox.faults.add(Fault("status", status=429, retry_after=1, method="POST"))
    with make_client() as client:
        client.upload(RESOURCES["events"], [EVENT])
    assert len(list(sandbox.records("events"))) == 1


@pytest.mark.parametrize("kind", ["drop", "drop_after", "html", "status"])
def test_customers_are_sent_until_it_works(
    make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox, kind: str
) -> None:
    """Rule: rows with identifiers are sent again after any passing failure; the result is one record."""
    sandbox.faults.add(Fault(kind, method="POST", times=2))
    with make_client() as client:
        client.upload(RESOURCES["customers"], [CUSTOMER])
    assert [record["external_id"] for record in sandbox.records("customers")] == ["new-1"]


def test_a_connection_is_tested_with_one_request(make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox) -> None:
    """Rule: the test is one GET of test_path; wrong tokens and missing scopes are told apart and say what to do."""
    with make_client() as client:
        client.test()
    assert [(record.method, record.path) for record in sandbox.requests] == [("GET", "/api/data/customers/")]
    with make_client(token="APIWRONG") as client, pytest.raises(errors.AuthenticationError, match="8 hours"):
        client.test()
    with make_client(token=sandbox.expired_token) as client, pytest.raises(errors.AuthenticationError, match="8 hours"):
        client.test()
    with make_client(token=sandbox.upload_token) as client, pytest.raises(errors.AccessDeniedError, match="scope"):
        client.test()
    with make_client(token=sandbox.scoped_token) as client:
        client.test()
        with pytest.raises(errors.AccessDeniedError, match=r"events.*scope"):
            list(client.pages(build_query("events", event_types="BROWSE")))


def test_waits_are_logged_without_the_token(
    make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: each retry leaves a line in the log, with % signs as they are and never with the token."""
    sandbox.faults.add(Fault("status", status=503, reason=f"100 % busy, %s, Token {sandbox.token}"))
    with caplog.at_level(logging.DEBUG), make_client() as client:
        list(client.pages(build_query("customers")))
    assert "100 % busy, %s" in caplog.text
    assert sandbox.token not in caplog.text


def test_a_closed_client_sends_nothing(make_client: Callable[..., CustobarClient], sandbox: CustobarSandbox) -> None:
    """Rule: after close() nothing is sent, not by an iterator that was begun before either."""
    client = make_client()
    sandbox.load("customers", [{"external_id": str(number)} for number in range(9)])
    pages = client.pages(build_query("customers", page_size=3))
    next(pages)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(pages)
    with pytest.raises(RuntimeError, match="closed"):
        client.test()
    assert len(sandbox.requests) == 1


def test_closing_wakes_a_waiting_thread(sandbox: CustobarSandbox) -> None:
    """Rule: a read-ahead thread in the middle of a long pause ends when the client is closed."""
    sandbox.faults.add(Fault("status", status=429, retry_after=3000, times=None))
    client = CustobarClient(config_from_connection(host=sandbox.url, password=sandbox.token))
    ended: list[BaseException] = []

    def fetch() -> None:
        try:
            client.test()
        except RuntimeError as error:
            ended.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    for _ in range(500):
        if sandbox.requests:
            break
        thread.join(0.01)
    client.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("verify", [True, False, certifi.where()], ids=["on", "off", "bundle"])
async def test_each_way_to_verify_works_without_warnings(
    sandbox: CustobarSandbox, make_client: Callable[..., CustobarClient], verify: object
) -> None:
    """Rule: verify may be on, off or a CA bundle in both clients, without a deprecated way to say so."""
    config = config_from_connection(host=sandbox.url, password=sandbox.token, extra={"verify": verify})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with AsyncCustobarClient(config) as client:
            assert [page async for page in client.pages(build_query("customers"))]
        with make_client(verify=verify) as same:
            same.test()
