"""The simulated store as an object, its generated customers, fixtures and command line."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import phonenumbers
import pytest
import requests

from airflow_provider_custobar.sandbox import Fault, SpiffyStoresSandbox, SpiffyStoresSettings
from airflow_provider_custobar.sandbox.cli import main
from airflow_provider_custobar.sandbox.log import RequestRecord

Factory = Callable[..., SpiffyStoresSandbox]


def get(store: SpiffyStoresSandbox, path: str = "customers", **params: Any) -> requests.Response:
    url, auth = f"{store.url}/api/{path}.json", (store.key, store.password)
    return requests.get(url, params=params, auth=auth, headers={"Accept": "application/json"}, timeout=10)


def test_spiffy_fixture(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: the fixture is a running store with 120 customers, and its connection leads there."""
    assert len(spiffy_sandbox.customers()) == 120
    connection = json.loads(spiffy_sandbox.airflow_connection(requests_per_minute=60))
    assert connection == {
        "conn_type": "spiffy_stores",
        "host": spiffy_sandbox.url,
        "login": spiffy_sandbox.key,
        "password": spiffy_sandbox.password,
        "extra": {"requests_per_minute": 60},
    }


def test_spiffy_restart() -> None:
    """Rule: a store that was stopped can be started again, on the same port and with what it had."""
    store = SpiffyStoresSandbox(generate=False)
    with pytest.raises(RuntimeError, match="start"):
        _ = store.url
    with store:
        url = store.url
        store.load([{"id": 7}])
    with pytest.raises(requests.ConnectionError):
        get(store)
    with store:
        assert store.url == url
        assert [customer["id"] for customer in get(store).json()["customers"]] == [7]


def test_spiffy_load() -> None:
    """Rule: customers are taken as they are, a known id is replaced, what is missing is filled in with growing ids."""
    store = SpiffyStoresSandbox(generate=False)
    given = {"id": 5, "colour": "red", "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-02T00:00:00Z"}
    assert store.load([given]) == [5]
    assert store.customers() == [given]
    given["colour"] = "changed by its owner"
    assert store.customers()[0]["colour"] == "red"
    assert store.load([{"id": 5, "updated_at": "2020-01-02T00:00:00Z"}]) == [5]
    assert store.customers() == [{"id": 5, "created_at": "2020-01-02T00:00:00Z", "updated_at": "2020-01-02T00:00:00Z"}]
    first, high, last = store.load([{"email": "a@b.example"}, {"id": 5000}, {}])
    assert (first > 5, high, last) == (True, 5000, 5001)
    assert store.customers()[-1]["created_at"].endswith("+10:00")
    store.delete(5001)
    assert store.load([{}]) == [5002]
    with pytest.raises(ValueError, match="id='6'"):
        store.load([{"id": "6"}])


def test_spiffy_touch() -> None:
    """Rule: touching changes fields and the time of the last change, which may be given; unknown ids raise."""
    store = SpiffyStoresSandbox(generate=False)
    store.load([{"id": 1, "updated_at": "2020-01-01T00:00:00+10:00"}])
    assert store.touch(1, note="x")["note"] == "x"
    assert store.customers()[0]["updated_at"] > "2026"
    store.touch(1, updated_at="2021-01-01T00:00:00Z")
    assert store.customers()[0]["updated_at"] == "2021-01-01T00:00:00Z"
    for call in (store.touch, store.delete):
        with pytest.raises(KeyError):
            call(2)


def test_spiffy_change_between_pages(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: a callback sees each request before it is answered, and may change what the answer is about."""
    everyone = [customer["id"] for customer in spiffy_sandbox.customers()]
    seen: list[RequestRecord] = []

    def change(request: RequestRecord) -> None:
        seen.append(request)
        if request.query.get("page") == ["2"]:
            spiffy_sandbox.delete(everyone[0])

    stop = spiffy_sandbox.before_answer(change)
    pages = [[customer["id"] for customer in get(spiffy_sandbox, page=page).json()["customers"]] for page in (1, 2)]
    assert pages == [everyone[:30], everyone[31:61]]
    assert [(request.path, request.status) for request in seen] == [("/api/customers.json", 0)] * 2
    stop()
    get(spiffy_sandbox)
    assert len(seen) == 2


def test_spiffy_log(spiffy_sandbox: SpiffyStoresSandbox) -> None:
    """Rule: requests are logged with their query, status, rows and who asked, until they are forgotten."""
    size = len(get(spiffy_sandbox, limit=3).content)
    (record,) = spiffy_sandbox.requests
    assert (record.method, record.path, record.query) == ("GET", "/api/customers.json", {"limit": ["3"]})
    assert (record.status, record.rows, record.response_bytes) == (200, 3, size)
    spiffy_sandbox.clear_log()
    assert spiffy_sandbox.requests == []


def test_spiffy_errors_are_kept() -> None:
    """Rule: an unexpected error is a 500, and kept for the test that owns the store."""
    with SpiffyStoresSandbox(generate=False) as store:
        store.before_answer(lambda request: {}["a bug"])
        assert get(store).status_code == 500
        assert [type(error) for error in store.errors] == [KeyError]


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": "1"}, {"customers": -1}, {"customers": True}, {"port": 65536}])
def test_spiffy_wrong_arguments(arguments: dict[str, Any]) -> None:
    """Rule: a wrong argument is named with its value."""
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"{name}={value!r}: expected a whole number"):
        SpiffyStoresSandbox(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [("order", "name"), ("limit_max", 0), ("rate_limit", 0), ("rate_header", "two"), ("accept", True), ("timestamps", "naive")],
)
def test_spiffy_wrong_settings(name: str, value: Any) -> None:
    """Rule: a wrong value is refused with what is accepted, and changes nothing."""
    settings = SpiffyStoresSettings()
    before = getattr(settings, name)
    with pytest.raises(ValueError, match=f"{name}=.*expected"):
        setattr(settings, name, value)
    with pytest.raises(ValueError, match=f"{name}=.*expected"):
        SpiffyStoresSettings(**{name: value})
    assert getattr(settings, name) == before


def test_spiffy_settings() -> None:
    """Rule: documented numbers are the defaults, a misspelt name is corrected, each default is accepted, text is read."""
    settings = SpiffyStoresSettings()
    assert (settings.limit_default, settings.limit_max, settings.rate_limit, settings.rate_period) == (30, 50, 500, 300)
    with pytest.raises(AttributeError, match="Did you mean 'limit_max'"):
        settings.limit_maxx = 5  # type: ignore[attr-defined]
    for name, value in settings.items():
        setattr(settings, name, value)
    settings.set_text("rate_limit", "none")
    assert settings.rate_limit is None


def test_spiffy_generated_customers() -> None:
    """Rule: the same seed gives the same customers, another seed others; ids grow and e-mails are unique."""
    customers = SpiffyStoresSandbox().customers()
    assert SpiffyStoresSandbox().customers() == customers
    assert SpiffyStoresSandbox(customers=50).customers() == customers[:50]
    assert SpiffyStoresSandbox(seed=2).customers() != customers
    numbers = [customer["id"] for customer in customers]
    assert numbers == sorted(set(numbers))
    assert len({customer["email"] for customer in customers}) == 120


def test_spiffy_generated_variety() -> None:
    """Rule: generated customers vary as real ones: types of money, offsets, phones, missing and empty values."""
    customers = SpiffyStoresSandbox().customers()
    assert {type(customer["total_spent"]) for customer in customers} == {str, float}
    assert {customer["created_at"][-6:] for customer in customers} == {"+10:00", "+11:00", "-04:00"}
    assert {customer["state"] for customer in customers} == {"guest", "enabled", "disabled", "invited", "declined"}
    assert all((customer["last_sign_in_at"] is not None) is (customer["state"] == "enabled") for customer in customers)
    assert all({"", None} <= {customer[name] for customer in customers} for name in ("title", "note", "company"))
    assert {len(customer["addresses"]) for customer in customers} == {0, 1, 2, 3}
    assert all(customer["created_at"] and customer["updated_at"] < "2026-03-01" for customer in customers)
    assert any("," in customer["tags"] for customer in customers)
    addresses = [customer["default_address"] for customer in customers if customer["default_address"]]
    countries = Counter(address["country_code"] for address in addresses)
    assert countries.most_common(1)[0][0] == "AU"
    assert countries.keys() == {"AU", "NZ", "GB", "US", "DE", "JP"}
    phones = Counter(_kind(address["phone"], address["country_code"]) for address in addresses)
    assert phones.keys() == {"local", "international", "nonsense", "", None}


def _kind(phone: str | None, country: str) -> str | None:
    if not phone:
        return phone
    try:
        valid = phonenumbers.is_valid_number(phonenumbers.parse(phone, country))
    except phonenumbers.NumberParseException:
        valid = False
    if not valid:
        return "nonsense"
    return "international" if phone.startswith("+") else "local"


def test_spiffy_factory(spiffy_sandbox_factory: Factory) -> None:
    """Rule: the factory starts any number of stores, with their own customers, counts and faults."""
    one, other = spiffy_sandbox_factory(customers=1), spiffy_sandbox_factory(SpiffyStoresSettings(limit_default=2), seed=2)
    one.faults.add(Fault("status", times=None))
    assert one.url != other.url
    assert get(one).status_code == 503
    assert len(get(other).json()["customers"]) == 2


@pytest.mark.processes
@pytest.mark.parametrize("arguments", [["--spiffy"], ["--spiffy-port", "0"]])
def test_spiffy_on_the_command_line(arguments: list[str]) -> None:
    """Rule: the store runs beside Custobar's sandbox; its two lines come before the last, which stays Custobar's."""
    command = [sys.executable, "-m", "airflow_provider_custobar.sandbox", "--customers", "3", "--events", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(5)]
        assert lines[4].startswith("AIRFLOW_CONN_CUSTOBAR_DEFAULT=")
        name, _, value = shlex.split(lines[3])[0].partition("=")
        connection = json.loads(value)
        assert name == "AIRFLOW_CONN_SPIFFY_STORES_DEFAULT"
        assert lines[2] == f"Spiffy Stores sandbox at {connection['host']}"
        auth = (connection["login"], connection["password"])
        url = f"{connection['host']}/api/customers/count.json"
        assert requests.get(url, auth=auth, headers={"Accept": "application/json"}, timeout=10).json() == {"count": 120}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_spiffy_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: a port that is taken or is none is named, with 2, and nothing keeps running."""
    with SpiffyStoresSandbox(generate=False) as store:
        port = store.url.rpartition(":")[2]
        for text in (port, "70000"):
            with pytest.raises(SystemExit) as caught:
                main(["--empty", "--spiffy-port", text])
            assert caught.value.code == 2
            output = capsys.readouterr()
            assert output.out == ""
            assert f"--spiffy-port: '{text}'" in output.err
