"""The hook, against a running sandbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import AuthenticationError, InvalidArgumentError
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.upload.results import InvalidRowsError


def test_records_are_what_the_tenant_holds(tenant: CustobarSandbox) -> None:
    """Rule: every record is there once, over any number of pages."""
    expected = sorted(record["external_id"] for record in tenant.records("customers"))
    assert sorted(record["external_id"] for record in CustobarHook().get_records("customers", page_size=7)) == expected


def test_arguments_are_checked_at_the_call(tenant: CustobarSandbox) -> None:
    """Rule: wrong arguments fail where they are given, not when the first page is read, and before any request."""
    with pytest.raises(InvalidArgumentError, match="resource='custommers'.*Did you mean 'customers'"):
        CustobarHook().get_records("custommers")
    assert tenant.requests == []


def test_csv_pages_and_json_pages_tell_the_same(tenant: CustobarSandbox) -> None:
    """Rule: both page formats give the same records."""
    arguments: dict[str, Any] = {"fields": ["external_id", "email"], "page_size": 50}
    from_json = [(r["external_id"], r.get("email", "")) for r in CustobarHook().get_records("customers", **arguments)]
    from_csv = [(r["external_id"], r["email"]) for r in CustobarHook().get_records("customers", api_format="csv", **arguments)]
    assert from_json == from_csv


def test_the_connections_time_zone_decides_what_a_day_is(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None]
) -> None:
    """Rule: a date is a day of the tenant's time zone, whatever zone the API filters in."""
    sandbox = custobar_sandbox_factory(generate=False)
    moments = ["2026-02-09T21:59:59Z", "2026-02-09T22:00:00Z", "2026-02-10T21:59:59Z", "2026-02-10T22:00:00Z"]
    sandbox.load("events", [{"type": "BROWSE", "date": moment, "customer_id": "1"} for moment in moments])
    connect("custobar_default", sandbox.airflow_connection(timezone="Europe/Helsinki", requests_per_minute=60_000))
    found = CustobarHook().get_records("events", event_types="BROWSE", date="2026-02-10")
    assert [record["date"] for record in found] == moments[1:3]


def test_upload_sends_and_names_the_import(tenant: CustobarSandbox) -> None:
    """Rule: an upload arrives, in batches of the size asked for, and the imports' ids come back."""
    rows = [{"external_id": f"new-{number}", "city": "Turku"} for number in range(5)]
    result = CustobarHook().upload("customers", rows, batch_size=2)
    assert (result.rows, result.uploaded, result.batches) == (5, 5, 3)
    assert result.run_ids == [upload.run_id for upload in tenant.uploads]
    assert [row for upload in tenant.uploads for row in upload.rows] == rows


def test_upload_of_bad_rows_sends_nothing(tenant: CustobarSandbox) -> None:
    """Rule: one bad row and nothing is sent."""
    with pytest.raises(InvalidRowsError, match="row 1: external_id must be a text of letters"):
        CustobarHook().upload("customers", [{"external_id": "good"}, {"external_id": "not good"}])
    assert tenant.requests == []


@pytest.mark.parametrize("records", [None, 5, "external_id", b"1", {"external_id": "1"}])
def test_upload_refuses_what_is_no_list(tenant: CustobarSandbox, records: Any) -> None:
    """Rule: what holds no records is an argument to be named, and not shown."""
    with pytest.raises(InvalidArgumentError, match=f"^records='{type(records).__name__}' is not accepted: give a list"):
        CustobarHook().upload("customers", records)
    assert tenant.requests == []


def test_upload_in_a_connections_zone(tenant: CustobarSandbox, connect: Callable[[str, str], None]) -> None:
    """Rule: a zone that a connection may have is one that an upload knows."""
    connect("custobar_default", tenant.airflow_connection(timezone="utc"))
    CustobarHook().upload("customers", [{"external_id": "1", "date_joined": "2026-02-01T10:00"}])
    assert tenant.uploads[0].rows == [{"external_id": "1", "date_joined": "2026-02-01T10:00:00Z"}]


def test_upload_takes_a_generator(tenant: CustobarSandbox) -> None:
    """Rule: rows are read once, so they may come from whatever can be iterated."""
    result = CustobarHook().upload("customers", ({"external_id": str(number)} for number in range(3)))
    assert (result.uploaded, [row["external_id"] for row in tenant.uploads[0].rows]) == (3, ["0", "1", "2"])


def test_connection_test_succeeds_with_one_harmless_request(tenant: CustobarSandbox) -> None:
    """Rule: Test Connection is one GET of one record."""
    assert CustobarHook().test_connection() == (True, f"{tenant.url} accepts the credentials")
    assert [(request.method, request.path, request.rows) for request in tenant.requests] == [("GET", "/api/data/customers/", 1)]


@pytest.mark.parametrize(
    ("token", "said"), [("expired_token", "401"), ("upload_token", "403"), (None, "put the API token into")]
)
def test_connection_test_tells_what_is_wrong(
    tenant: CustobarSandbox, connect: Callable[[str, str], None], token: str | None, said: str
) -> None:
    """Rule: a failed test says what the server said, and never shows the token."""
    secret = getattr(tenant, token) if token else ""
    connect("custobar_default", f'{{"conn_type": "custobar", "host": "{tenant.url}", "password": "{secret}"}}')
    passed, message = CustobarHook().test_connection()
    assert not passed
    assert said in message
    assert not secret or secret not in message


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE"])
async def test_what_the_environment_says_wrong_is_named(
    tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Rule: Test Connection, a task and a trigger all name the variable that no request can be made with, and make none."""
    monkeypatch.setenv(variable, "nonsense://user:secret@127.0.0.1")
    passed, message = CustobarHook().test_connection()
    assert not passed
    assert message.startswith(f"{variable}=")
    assert "secret" not in message or variable == "REQUESTS_CA_BUNDLE"
    for use in (
        lambda: list(CustobarHook().get_records("customers")),
        lambda: CustobarHook().upload("customers", [{"external_id": "1"}]),
    ):
        with pytest.raises(InvalidArgumentError, match=f"^{variable}="):
            use()
    with pytest.raises(InvalidArgumentError, match=f"^{variable}="):
        await CustobarHook().get_async_conn()
    assert tenant.requests == []


@pytest.mark.parametrize("uri", ["custobar://:{}@[::1]:{}/http", "custobar://http://:{}@[::1]:{}"])
def test_a_connection_uri_may_have_an_ipv6_host(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """Rule: a host in brackets, which Airflow takes away, is reached as it was written."""
    monkeypatch.setenv("AIRFLOW_CONN_IPV6", uri.format("APITOKEN", 8765))
    assert CustobarHook("ipv6").get_config().base_url == "http://[::1]:8765"


def test_connection_test_does_not_try_again(tenant: CustobarSandbox) -> None:
    """Rule: whoever presses the button gets an answer at once."""
    tenant.faults.add(Fault("status", status=503, times=None))
    passed, message = CustobarHook().test_connection()
    assert not passed
    assert "503" in message
    assert len(tenant.requests) == 1


def test_basic_authentication_works(tenant: CustobarSandbox, connect: Callable[[str, str], None]) -> None:
    """Rule: a login makes it HTTP Basic."""
    connect(
        "custobar_default",
        f'{{"conn_type": "custobar", "host": "{tenant.url}", "login": "{tenant.user}", "password": "{tenant.password}"}}',
    )
    assert CustobarHook().test_connection()[0]


def test_the_token_is_in_no_log_line_and_no_error(
    tenant: CustobarSandbox, connect: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: nobody reads the token from a failing task, however much is logged."""
    connect("custobar_default", f'{{"conn_type": "custobar", "host": "{tenant.url}", "password": "{tenant.expired_token}"}}')
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthenticationError) as caught:
        list(CustobarHook().get_records("customers"))
    assert tenant.expired_token not in caplog.text
    assert tenant.expired_token not in str(caught.value)
    assert tenant.expired_token not in repr(caught.value.__context__)


async def test_the_asynchronous_client_reads_the_same(tenant: CustobarSandbox) -> None:
    """Rule: triggers see what tasks see."""
    hook = CustobarHook()
    from airflow_provider_custobar.api.query import build_query

    async with await hook.get_async_conn() as client:
        found = [record async for page in client.pages(build_query("products", page_size=7)) for record in page.dicts()]
    assert found == list(hook.get_records("products"))
